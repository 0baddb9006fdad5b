"""Markdown and CSV hold the same numbers as the page, and no markup of names."""

import csv
import io
from dataclasses import replace

import pytest

from bench.phases import Phase
from reports import markers
from reports.exports import CSV_COLUMNS, to_csv, to_markdown
from tests.reports.synthetic_runs import density_group, make_run, renamed, workload


def records_of(run):
    return list(csv.DictReader(io.StringIO(to_csv([run]))))


def test_csv_has_one_line_a_cell_with_all_columns():
    run = make_run(density_group()[:3], ("dense", "gather", "brute"))
    found = records_of(run)
    assert len(found) == len(run.cells)
    assert tuple(found[0]) == CSV_COLUMNS
    header = run.header
    wanted = (header.machine.name, str(header.settings.threads), header.commit, header.started)
    told = {
        tuple(row[name] for name in ("machine", "threads", "commit", "started")) for row in found
    }
    assert told == {wanted}
    for row, record in zip(found, [run.units[0].workload] * 3, strict=False):
        assert row["grid_size"] == "x".join(map(str, record.grid_size))
        assert (row["axis"], row["sites"]) == (record.axis, str(record.sites))
        assert (row["batch_size"], row["channels"]) == (
            str(record.batch_size),
            str(record.channels),
        )
        assert row["peak_bytes"] == str(run.units[0].cells[0].peak_bytes or "")


def test_csv_holds_numbers_where_there_are_times_and_reasons_where_not():
    run = make_run([workload("one", 0.1)], ("dense", "gather", "brute"), phases=(Phase.FORWARD,))
    rows = {row["implementation"]: row for row in records_of(run)}
    assert float(rows["gather"]["ratio"]) == pytest.approx(0.1 / 0.38, rel=0.01)
    assert rows["gather"]["verdict"] == "faster"
    assert rows["gather"]["fastest"] == "yes"
    assert rows["dense"]["ratio"] == ""
    assert float(rows["dense"]["seconds_low"]) < 1e-3 < float(rows["dense"]["seconds_high"])
    assert (rows["brute"]["seconds"], rows["brute"]["reason"]) == ("", "no kernel for this")


@pytest.mark.parametrize("machine", ["Made-up processor, 2 processors, 2 threads", "another"])
def test_csv_of_several_runs_tells_of_each_cell_which_run_it_is_from(machine):
    first = make_run(density_group()[:2], ("dense", "gather"))
    second = make_run(density_group()[1:3], ("dense", "gather"))
    named = replace(second.header.machine, name=machine)
    header = replace(second.header, machine=named, commit="later", started="2026-12-01")
    second = replace(second, header=header)
    rows = list(csv.DictReader(io.StringIO(to_csv([first, second]))))
    is_same = machine == first.header.machine.name
    for run, workloads in ((first, 1 if is_same else 2), (second, 2)):
        own = [row for row in rows if row["commit"] == run.header.commit]
        assert len({row["workload"] for row in own}) == workloads
        assert {row["machine"] for row in own} == {run.header.machine.name}
        assert {row["started"] for row in own} == {run.header.started}


def test_a_name_that_a_spreadsheet_would_run_is_text():
    run = renamed(make_run(density_group()[:1]), "gather", '=HYPERLINK("x")')
    assert any(row["implementation"].startswith("'=") for row in records_of(run))


def test_markdown_shows_findings_and_a_table_for_each_phase():
    text = to_markdown(make_run(density_group()))
    assert text.startswith(markers.MARKDOWN)
    assert ": gather beats dense below 38" in text
    for phase in ("forward", "forward_cold", "train_step"):
        assert f"## {phase}, float32 on cpu" in text
    row = next(line for line in text.splitlines() if line.startswith("| 2d") and "-0.01 " in line)
    assert row.count("|") == 5
    assert "▼ faster**" in row


def test_markdown_cuts_no_sentence():
    text = to_markdown(make_run(density_group()))
    assert "“same” rules out 5\u00a0%.\n\n" in text
    assert "…" not in text


def test_markdown_keeps_hostile_names_in_their_cell():
    run = make_run(density_group()[:1])
    hostile = "a|b `c` *d* [e](f) <script> __init__\nnext"
    run = replace(renamed(run, "gather", hostile), finished="")
    text = to_markdown(run)
    heads = [line for line in text.splitlines() if line.startswith("| workload")]
    assert all(line.count("|") == 5 for line in heads)
    assert "<script>" not in text
    assert "\\[e\\](f)" in text
    assert "\\_\\_init\\_\\_" in text


def test_markdown_says_whole_sentences_and_isolates_names_once():
    names = ["dense", *(f"variant_with_a_rather_long_name_number_{each}" for each in range(8))]

    def times(name, _):
        return 1e-3 if name == "dense" else 0.5e-3

    text = to_markdown(make_run(density_group(), names, times=times))
    assert "are faster than dense at every measured density.\n" in text
    assert "“same” rules out 5\xa0%.\n" in text
    assert "…" not in text
    text = to_markdown(renamed(make_run(density_group()), "gather", "\u05e9\u05dc"))
    assert "| \u2068\u05e9\u05dc\u2069 up to 20" in text
    assert "u2068" not in text


def test_exports_of_an_empty_run_are_headers_and_markdown_says_so():
    run = replace(make_run(density_group()[:1]), units=())
    assert to_csv([run]).strip() == ",".join(CSV_COLUMNS)
    assert "\nThis run holds no cells: nothing was measured.\n" in to_markdown(run)
    assert "no cells" not in to_markdown(make_run(density_group()[:1]))
