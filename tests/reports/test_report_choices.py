"""What a page offers for choosing: any baseline, any cell's rounds, the command of a row."""

import math
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.statistics.intervals import seconds_of_rounds
from bench.statistics.verdicts import Verdict
from reports.commands import command, impl_arguments
from reports.embedded import LEVELS, embedded
from reports.pairs import pairs
from reports.speed import compare
from tests.reports.synthetic_runs import DENSE_SECONDS, Noise, make_run, workload

FACTORS = {"dense": 1.0, "gather": 0.5, "masked": 1.2, "twin": 0.5}


@pytest.fixture(scope="module")
def run():
    return make_run(
        [workload("one", 0.1), workload("two", 0.2)],
        tuple(FACTORS),
        times=lambda name, _record: DENSE_SECONDS * FACTORS[name],
        phases=(Phase.FORWARD,),
        noise=Noise(rounds=0.003, processes=0.0005),
    )


def test_every_pair_has_a_ratio_and_a_verdict_either_way_round(run):
    comparison = compare(run)
    names = list(FACTORS)
    found = {
        (names[pair.first], names[pair.second]): pair
        for pair in pairs(comparison)[0, Phase.FORWARD]
    }
    assert len(found) == 6
    for (first, second), pair in found.items():
        expected = FACTORS[first] / FACTORS[second]
        assert pair.ratio.interval.estimate == pytest.approx(expected, rel=0.01)
    assert found["gather", "masked"].verdicts == (Verdict.FASTER, Verdict.SLOWER)
    assert found["gather", "twin"].verdicts == (Verdict.SAME, Verdict.SAME)
    interval = found["dense", "gather"].ratio.interval
    assert interval.low < 2 < interval.high


def test_against_the_page_s_baseline_pairs_and_tables_agree(run):
    comparison = compare(run)
    for (number, phase), members in pairs(comparison).items():
        rows = dict(comparison.tables[number].by_phase)[phase]
        for pair in members:
            if rows[pair.first].cell.implementation == "dense":
                assert pair.verdicts[1] is rows[pair.second].verdict


def test_embedded_rounds_are_those_of_the_run_to_a_sixtieth_of_their_span(run):
    data = embedded(run, compare(run), impl_arguments(run))
    number, seconds, below, span, drawn, disturbed = data["tables"][0]["forward"]["rows"][1]
    timing = run.units[0].cells[1].timing
    assert data["implementations"][number] == "gather"
    assert seconds == pytest.approx(0.5 * DENSE_SECONDS, rel=0.01)
    assert disturbed == [[0], [], []]
    for text, medians in zip(drawn.split(" "), seconds_of_rounds(timing), strict=True):
        for letter, value in zip(text, medians, strict=True):
            decoded = seconds * math.exp(span * LEVELS.index(letter) / 63 - below)
            assert math.log(decoded / value) == pytest.approx(0, abs=span / 60)


def test_of_a_very_large_run_every_so_many_rounds_are_embedded_and_this_is_said(run, monkeypatch):
    monkeypatch.setattr("reports.embedded.MOST_ROUNDS", 400)
    data = embedded(run, compare(run), impl_arguments(run))
    assert data["step"] == 2
    assert len(data["tables"][0]["forward"]["rows"][0][4]) == 3 * 10 + 2


def test_the_command_names_the_workload_and_repeats_the_settings(run):
    found = command(run, compare(run).tables[0], impl_arguments(run))
    assert found.start == "sparsebench run made --workload one"
    assert found.implementations == "--impl dense,gather,masked,twin"
    assert found.phases == "--phase forward"
    assert found.end == (
        "--dtype float32 --device cpu --threads 2 --processes 3 --seconds 1 --precision 0.005 --seed 0"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--impl", "dense,my plug-ins/twin.py"),
        ("--impl=dense,my plug-ins/twin.py",),
        ("--sparsebench-impl=dense,my plug-ins/twin.py",),
    ],
)
def test_the_command_quotes_names_and_gives_a_plug_in_s_file(options, run):
    given = ("sparsebench", "run", "made", *options)
    plugged = tuple(
        replace(record, file="twin.py") if record.name in {"masked", "twin"} else record
        for record in run.header.implementations
    )
    header = replace(run.header, command=given, implementations=plugged)
    changed = replace(run, header=header)
    found = command(changed, compare(changed).tables[0], impl_arguments(changed))
    assert found.implementations == "--impl dense,gather,'my plug-ins/twin.py'"
    spaced = make_run([workload("a b; rm", 0.1)], ("dense",), phases=(Phase.FORWARD,))
    found = command(spaced, compare(spaced).tables[0], impl_arguments(spaced))
    assert found.start.endswith("--workload 'a b; rm'")


def test_a_command_is_one_that_the_command_line_understands(run):
    import shlex  # noqa: PLC0415

    from bench.cli.main import _Parser  # noqa: PLC0415
    from bench.cli.run import add_parser  # noqa: PLC0415

    found = command(run, compare(run).tables[0], impl_arguments(run))
    line = f"{found.start} {found.implementations} {found.phases} {found.end}"
    parser = _Parser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(shlex.split(line)[1:])
    assert (parsed.suite, parsed.workload, parsed.seconds) == ("made", "one", 1.0)


def test_the_command_names_the_gpu_that_was_measured(run):
    cells = tuple(replace(cell, device="cuda:1") for cell in run.units[0].cells)
    second = replace(run, units=(replace(run.units[0], cells=cells),))
    found = command(second, compare(second).tables[0], impl_arguments(second))
    assert " --device cuda:1 " in found.end
