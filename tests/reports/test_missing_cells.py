"""Cells of two runs that have no time in one of them: told together, each in full where asked for."""

import json
from dataclasses import replace

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.phases import Phase
from bench.results.schema import Status
from bench.results.store import write
from reports import words
from reports.changes import NAMED, SHOWN, missing, missing_together
from tests.reports.compared_runs import changed, ended, made
from tests.reports.synthetic_runs import density_group, workload


def comparing(base, head, folder):
    paths = folder / "base.json", folder / "head.json"
    for run, path in zip((base, head), paths, strict=True):
        write(run, path)
    return ["compare", *map(str, paths)]


def test_cells_that_are_gone_are_summed_up_where_the_runs_cover_different_sets(tmp_path, capsys):
    records = density_group()
    phases = {cell.phase for cell in made().cells}
    base = made(records=records)
    head = made(names=("dense", "masked"), records=records[:3])
    head = changed(head, ended(Status.ERROR), name="masked")
    changes = compare_runs(base, head)
    rows = missing_together(changes)
    assert len(missing(changes)) == sum(int(row["cells"]) for row in rows)
    assert [(row["implementation"], row["base"], row["head"]) for row in rows] == [
        ("masked", "ok", "error"),
        ("gather", "ok", "absent"),
        *[(name, "ok", "absent") for name in ("dense", "masked")],
    ]
    assert rows[1]["cells"] == str(len(records) * len(phases))
    names = ", ".join(record.name for record in records[:NAMED])
    assert rows[1]["workloads"] == f"{names} and {len(records) - NAMED} more"
    assert rows[0]["phases"] == words.listed(phase for phase in Phase if phase in phases)
    command = comparing(base, head, tmp_path)
    for form, lines in ([], 1), (["--markdown"], 1), (["--all"], len(records) * len(phases)):
        assert main([*command, *form]) == 4
        told = capsys.readouterr().out.splitlines()
        assert sum("gather" in line and "absent" in line for line in told) == lines
    assert main([*command, "--json"]) == 4
    cells = json.loads(capsys.readouterr().out)["cells"]
    absent = [cell for cell in cells if cell["head_status"] == "absent"]
    assert len(absent) == len(missing(changes)) - 3 * len(phases)


def test_of_many_reasons_only_the_commonest_are_said(tmp_path, capsys):
    records = [workload(f"w{number}", 0.1) for number in range(SHOWN + 5)]
    base, head = made(records=records), made(records=records)

    def otherwise(cell):
        return replace(cell, workload_version=f"another {cell.workload}")

    def failing(cell):
        return replace(ended(Status.ERROR)(cell), reason=f"why {cell.workload} ended")

    head = changed(changed(head, otherwise), failing, name="masked")
    command = comparing(base, head, tmp_path)
    assert main(command) == 4
    told = capsys.readouterr().out
    assert told.count("error in the head: why w") == SHOWN
    assert "5 more rows of these: --all lists every cell" in told
    assert told.count("not compared: ") == SHOWN + 1
    assert "not compared: 15 cells: 5 other reasons" in told
    main([*command, "--markdown"])
    assert "5 more rows of these" in capsys.readouterr().out
    main([*command, "--all"])
    assert "more rows" not in capsys.readouterr().out
