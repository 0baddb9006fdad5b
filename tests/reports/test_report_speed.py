"""Rows, verdicts and rankings follow from the times that were planted."""

import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.results.schema import GpuConditions, Samples, Status, Timing
from bench.statistics.intervals import Interval, Ratio, seconds_per_call
from bench.statistics.verdicts import Verdict
from reports.captions import overview, table
from reports.speed import Row, Setting, compare, leader
from reports.standing import geometric_mean, lead, standings
from reports.verdicts import detectable, doubts, findings
from reports.words import DASH
from tests.reports.synthetic_runs import (
    DENSE_SECONDS,
    Noise,
    cell,
    density_group,
    make_run,
    workload,
)

SETTING = Setting("cpu", "float32")
QUIET = Noise(rounds=0.003, processes=0.0005)


def times_of(**factors):
    return lambda name, _record: None if factors[name] is None else DENSE_SECONDS * factors[name]


def rows_of(**factors):
    run = make_run(
        [workload("one", 0.1)],
        tuple(factors),
        times=times_of(**factors),
        phases=(Phase.FORWARD,),
        noise=QUIET,
    )
    comparison = compare(run)
    return comparison, {row.cell.implementation: row for row in comparison.rows}


def test_ratios_are_times_relative_to_dense_and_carry_a_verdict():
    _, rows = rows_of(gather=0.5, dense=1.0, masked=1.2, same=1.0)
    assert rows["gather"].ratio.interval.estimate == pytest.approx(0.5, rel=0.01)
    assert rows["gather"].verdict is Verdict.FASTER
    assert rows["masked"].verdict is Verdict.SLOWER
    assert rows["same"].verdict is Verdict.SAME
    assert rows["dense"].ratio is None
    assert rows["dense"].verdict is None


def test_the_fastest_is_marked_together_with_those_not_told_apart_from_it():
    _, rows = rows_of(dense=1.0, gather=0.5, twin=0.5, masked=1.2)
    assert {name for name, row in rows.items() if row.fastest} == {"gather", "twin"}


def test_who_is_a_little_slower_than_noise_can_tell_is_marked_too():
    noise = Noise(rounds=0.1, processes=0.02, length=8)
    run = make_run(
        [workload("one", 0.1)],
        ("dense", "gather", "twin"),
        times=times_of(dense=1.0, gather=0.5, twin=0.52),
        phases=(Phase.FORWARD,),
        noise=noise,
    )
    rows = {row.cell.implementation: row for row in compare(run).rows}
    assert (
        abs(rows["twin"].ratio.interval.estimate / rows["gather"].ratio.interval.estimate - 1)
        > 0.02
    )
    assert {name for name, row in rows.items() if row.fastest} == {"gather", "twin"}


def test_of_a_single_round_only_the_least_time_is_marked():
    run = make_run(
        [workload("one", 0.1)],
        ("dense", "gather", "twin"),
        times=times_of(dense=1.0, gather=0.5, twin=0.5),
        phases=(Phase.FORWARD,),
        noise=Noise(count=1, length=1),
    )
    marked = [row for row in compare(run).rows if row.fastest]
    assert [row.seconds.estimate for row in marked] == [
        min(row.seconds.estimate for row in compare(run).rows)
    ]


def test_cells_are_compared_within_their_type_and_device_only():
    run = make_run(
        [workload("one", 0.1)], times=times_of(dense=1.0, gather=0.5, masked=1.2), noise=QUIET
    )
    (unit,) = run.units
    others = {("cpu", "float64"): 4.0, ("cuda", "float32"): 0.1}
    cells = list(unit.cells)
    for (device, dtype), factor in others.items():
        cells += [
            replace(
                each,
                device=device,
                dtype=dtype,
                timing=times(each.timing, factor if each.implementation == "dense" else 1.0),
            )
            for each in unit.cells
        ]
    found = compare(replace(run, units=(replace(unit, cells=tuple(cells)),)))
    for table_ in found.tables:
        factor = others.get((table_.setting.device, table_.setting.dtype), 1.0)
        assert len(table_.rows) == len(unit.cells)
        ratio = table_.find("gather", Phase.FORWARD).ratio
        assert ratio.interval.estimate == pytest.approx(0.5 / factor, rel=0.01)
    assert len(found.tables) == 3


def times(timing, factor):
    """The same timing, so many times as long."""
    return replace(
        timing,
        processes=tuple(
            replace(
                samples,
                rounds=tuple(tuple(round(factor * ns) for ns in each) for each in samples.rounds),
            )
            for samples in timing.processes
        ),
    )


def row_of(name, *rounds, process=0):
    samples = Samples(process, 1, tuple((each,) for each in rounds))
    made = cell(workload("one", 0.1), name, Phase.FORWARD, timed=Timing("made up", (samples,)))
    return Row(made, seconds_per_call(made.timing))


def test_who_is_fastest_is_told_by_the_rounds_that_are_shared():
    # The machine became twice as fast after two rounds, of which one had no more.
    short, long = row_of("short", 2000, 2000), row_of("long", 2100, 2100, 1050, 1050, 1050)
    assert short.seconds.estimate > long.seconds.estimate
    assert leader([short, long]) is leader([long, short]) is short
    apart = row_of("apart", 5000, 5000, process=1)
    assert leader([apart, short, long]) is short


def test_where_nobody_measured_a_phase_to_show_first_those_measured_are_shown():
    run = make_run([workload("one", 0.1)], phases=(Phase.ENCODE, Phase.FORWARD))
    assert compare(run).headline == (Phase.FORWARD,)
    run = make_run([workload("one", 0.1)], phases=(Phase.ENCODE, Phase.DECODE))
    assert compare(run).headline == (Phase.ENCODE, Phase.DECODE)


def test_a_phase_without_any_time_is_none():
    run = make_run([workload("one", 0.1)], phases=(Phase.ENCODE, Phase.FORWARD))
    (unit,) = run.units
    cells = tuple(
        cell(unit.workload, each.implementation, each.phase) if each.phase is Phase.ENCODE else each
        for each in unit.cells
    )
    assert compare(replace(run, units=(replace(unit, cells=cells),))).phases == (Phase.FORWARD,)


def test_one_implementation_alone_is_not_called_fastest():
    _, rows = rows_of(dense=1.0, gather=None)
    assert not any(row.fastest for row in rows.values())


def test_the_baseline_comes_first_and_the_others_in_the_run_s_order():
    comparison, _ = rows_of(masked=1.2, dense=1.0, gather=0.5)
    assert comparison.implementations == ("dense", "masked", "gather")


def test_a_cell_without_a_time_has_neither_ratio_nor_mark():
    _, rows = rows_of(dense=1.0, gather=None)
    assert (rows["gather"].seconds, rows["gather"].ratio, rows["gather"].verdict) == (None,) * 3


def test_where_dense_failed_the_verdict_is_missing():
    _, rows = rows_of(dense=None, gather=0.5, masked=1.0)
    assert rows["gather"].verdict is Verdict.MISSING
    assert rows["gather"].fastest


def test_verdicts_are_corrected_for_all_comparisons_of_the_page():
    noise = Noise(rounds=0.02, processes=0.006, length=10)
    records = [workload(f"w{number}", 0.1) for number in range(60)]
    run = make_run(
        records, ("dense", "gather"), times=times_of(dense=1.0, gather=1.035), noise=noise
    )
    together = Counter(row.verdict for row in compare(run).rows if row.verdict)
    alone: Counter[Verdict] = Counter()
    for unit in run.units:
        single = compare(type(run)(run.header, (unit,)))
        alone.update(row.verdict for row in single.rows if row.verdict)
    assert together[Verdict.SLOWER] < alone[Verdict.SLOWER]


def test_comparisons_of_one_phase_are_taken_to_be_about_as_noisy(monkeypatch):
    judged = []

    def corrected(ratios, kinds=None):
        judged.extend(zip(ratios, kinds, strict=True))
        return [1.0] * len(ratios)

    monkeypatch.setattr("bench.statistics.verdicts.corrected", corrected)
    rows = [row for row in compare(make_run(density_group()[:2])).rows if row.ratio]
    assert len(rows) == 12
    assert judged == [(row.ratio, row.cell.phase) for row in rows]


def test_the_geometric_mean_is_narrower_than_its_members():
    members = [
        Ratio(Interval(value, value / 1.04, value * 1.04), 0.0, 0.05, 60)
        for value in (0.25, 1.0, 4.0, 1.0)
    ]
    mean = geometric_mean(members)
    assert mean.estimate == pytest.approx(1.0)
    assert math.log(mean.high) == pytest.approx(math.log(1.04) / 2)
    assert geometric_mean([]) is None


def test_standings_count_verdicts_and_wins():
    run = make_run(density_group(), ("dense", "gather", "masked"), noise=QUIET)
    rows = {row.implementation: row for row in standings(compare(run), SETTING, Phase.FORWARD)}
    assert rows["gather"].verdicts == {Verdict.FASTER: 6, Verdict.SLOWER: 3}
    assert rows["gather"].fastest == 6
    assert rows["masked"].verdicts == {Verdict.SLOWER: 9}
    assert rows["masked"].mean.estimate == pytest.approx(1.2, rel=0.01)
    assert rows["dense"].fastest == 3


def test_the_lead_goes_to_the_smallest_geometric_mean_on_shared_workloads():
    run = make_run(density_group(), ("dense", "gather", "masked"), noise=QUIET)
    found = lead(compare(run), SETTING, Phase.FORWARD)
    assert found.ranking == ("gather", "dense", "masked")
    assert found.workloads == 9
    assert found.ahead.low > 1


def test_an_implementation_with_few_times_is_not_ranked_and_shrinks_nothing():
    def times(name, record):
        if name == "rare":
            return 1e-6 if record.density == 0.2 else None
        return DENSE_SECONDS * {"dense": 1.0, "gather": 0.5}[name]

    run = make_run(density_group(), ("dense", "rare", "gather"), times=times, noise=QUIET)
    found = lead(compare(run), SETTING, Phase.FORWARD)
    assert found.ranking == ("gather", "dense")
    assert found.left_out == ("rare",)
    assert found.workloads == 9


def test_the_first_sentence_names_the_fastest_the_second_and_the_ratio_to_dense():
    factors = {"dense": 1.0, "gather": 0.5, "masked": 0.8}
    run = make_run(density_group(), tuple(factors), times=times_of(**factors), noise=QUIET)
    finding = findings(compare(run), [], [])[0]
    assert finding.about == "forward, float32 on cpu"
    assert re.fullmatch(
        rf"gather is fastest overall: 2\.0 times as fast as dense \((1\.9|2\.0){DASH}2\.\d\), and "
        rf"1\.\d\d times as fast as masked \(1\.\d\d{DASH}1\.6\d\), the next best\.",
        finding.sentences[0],
    )
    assert finding.sentences[1].startswith("Geometric mean over 9 workloads that all 3 completed")


def test_who_is_fastest_with_a_single_round_has_no_interval():
    quick = Noise(count=1, length=1)
    run = make_run(density_group(), ("dense",), times=times_of(dense=1.0), noise=quick)
    assert "only dense has times" in findings(compare(run), [], [])[0].sentences[0]
    both = make_run(
        density_group(), ("dense", "gather"), times=times_of(dense=1, gather=0.5), noise=quick
    )
    assert "cannot be told apart" in findings(compare(both), [], [])[0].sentences[0]


def test_a_factor_whose_interval_is_too_wide_to_tell_anything_has_no_ends():
    factors = {"dense": 1.0, "gather": 0.01, "twin": 0.01}
    noise = Noise(processes=2, count=2)
    run = make_run([workload("alone", 0.2)], tuple(factors), times=times_of(**factors), noise=noise)
    text = findings(compare(run), [], [])[0].sentences[0]
    assert text.endswith(" times as fast as dense (interval unknown: too noisy).")


def test_two_that_are_level_share_the_first_place():
    factors = {"dense": 1.0, "gather": 0.5, "twin": 0.5}
    run = make_run(density_group(), tuple(factors), times=times_of(**factors), noise=QUIET)
    assert "cannot be told apart as the fastest" in findings(compare(run), [], [])[0].sentences[0]


def test_ambiguous_ratios_whose_own_intervals_are_clear_are_counted():
    comparison = compare(make_run(density_group(), noise=Noise(rounds=0.003, processes=0.0005)))
    assert "Of the ambiguous" not in detectable(comparison)
    (table, *others) = comparison.tables
    unsure = tuple(
        replace(row, verdict=Verdict.AMBIGUOUS) if row.cell.implementation == "gather" else row
        for row in table.rows
    )
    changed = replace(comparison, tables=(replace(table, rows=unsure), *others))
    assert "Of the ambiguous, 3 have an interval beyond that: clear alone" in detectable(changed)


def test_the_smallest_detectable_effect_grows_with_noise():
    def effect(noise):
        run = make_run(density_group(), ("dense", "gather"), noise=noise)
        text = detectable(compare(run)).replace("\u00a0", " ")
        return float(text.split("An effect of ")[1].split(" %")[0])

    assert effect(Noise(rounds=0.1, processes=0.02)) > 3 * effect(QUIET)


def test_doubts_of_the_machine_and_of_the_run_are_both_told():
    run = make_run(density_group()[:1], noise=Noise(length=5))
    found = " ".join(doubts(run, compare(run)))
    assert "frequency governor 'powersave'" in found
    quiet = make_run(density_group()[:1], noise=Noise(length=100))
    assert len(doubts(quiet, compare(quiet))) == 1


def test_wrong_results_are_the_first_doubt():
    run = make_run(density_group(), noise=Noise(length=5))
    assert "wrong results" not in " ".join(doubts(run, compare(run)))
    cells = tuple(
        replace(cell, status=Status.INCORRECT, reason="off by one", timing=None)
        if cell.implementation == "gather"
        else cell
        for cell in run.units[0].cells
    )
    wrong = replace(run, units=(replace(run.units[0], cells=cells), *run.units[1:]))
    first, *others = doubts(wrong, compare(wrong))
    count = sum(cell.implementation == "gather" for cell in cells)
    assert first == f"wrong results, and so no times: {count} cells (gather in {count})"
    assert not any("incorrect" in each for each in others)


def test_what_kept_a_gpus_clock_down_is_doubted_with_how_often():
    run = make_run(density_group())
    cool = GpuConditions(looks=10, megahertz=(1980, 1980), celsius=(40, 50), slowed={})
    hot = replace(cool, slowed={"the power limit": 3, "heat\n# of": 1})
    watched = [
        replace(unit, gpu=hot if number < 2 else cool) for number, unit in enumerate(run.units)
    ]
    slow = replace(run, units=tuple(watched))
    looks = 10 * len(run.units)
    wanted = f"the GPU's clock was held down by the power limit at 6 of {looks} looks"
    assert wanted in doubts(slow, compare(slow))
    assert any("by heat\\n# of at 2 " in doubt for doubt in doubts(slow, compare(slow)))
    assert not any("GPU" in doubt for doubt in doubts(run, compare(run)))


def test_captions_state_the_finding():
    run = make_run(density_group(), ("dense", "gather", "masked"), noise=QUIET)
    comparison = compare(run)
    rows = standings(comparison, SETTING, Phase.FORWARD)
    assert overview(comparison, SETTING, Phase.FORWARD, rows) == (
        "forward, float32 on cpu: against dense, gather is faster in 6 and slower in 3; "
        "masked is slower in 9 of 9 workloads."
    )
    assert table(comparison, comparison.tables[0]) == (
        "fastest: gather in forward, forward_cold and train_step"
    )
