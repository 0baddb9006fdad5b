"""Ledger, amortised cost, efficiency, what was not measured, method, and words."""

from dataclasses import replace

import pytest

from bench.phases import TIMED_REGION, Phase
from bench.results.schema import Rate, Status, Work
from bench.statistics.intervals import Interval
from reports import words
from reports.amortised import amortised, summarise
from reports.efficiency import efficiencies, rate_of
from reports.efficiency import summarise as summarise_efficiency
from reports.ledger import ledger
from reports.method import method
from reports.page import render
from reports.speed import Setting, compare
from reports.unmeasured import not_reached, unavailable, unmeasured
from tests.reports.synthetic_runs import (
    ALL_PHASES,
    DENSE_SECONDS,
    HEADLINE,
    PHASE_FACTOR,
    Noise,
    density_group,
    implementation,
    make_run,
    workload,
)

SETTING = Setting("cpu", "float32")
QUIET = Noise(rounds=0.0, processes=0.0)


def test_the_ledger_shows_that_dense_starts_from_a_dense_tensor():
    run = make_run(density_group()[:1], ("gather", "dense"))
    phases = dict(ledger(run, compare(run)).phases)
    usual, other = phases[Phase.FORWARD_COLD]
    assert usual.region == TIMED_REGION[Phase.FORWARD_COLD]
    assert usual.implementations == ("gather",)
    assert other.implementations == ("dense",)
    assert "from a dense tensor" in other.region
    assert [entry.implementations for entry in phases[Phase.FORWARD]] == [("dense", "gather")]


def test_the_ledger_is_shown_whole():
    run = make_run(density_group()[:1], ("dense",))
    told = "first one thing, " * 15 + "then another"
    origin = "a library, built from its published source for a machine without a GPU"
    record = replace(run.header.implementations[0], ledger={"forward": told}, origin=origin)
    run = replace(run, header=replace(run.header, implementations=(record,)))
    page = render(run)
    assert f"<td>{told}<td>" in page
    assert f"<td>{origin}<td>" in page


def test_an_implementation_that_does_not_say_what_it_times_is_shown_to_be_silent():
    run = make_run(density_group()[:1], ("dense",))
    silent = replace(run.header.implementations[0], ledger={})
    run = replace(run, header=replace(run.header, implementations=(silent,)))
    assert ledger(run, compare(run)).phases[0][1][0].region == "not stated"


def amortised_run(cold, warm):
    """gather with these times relative to dense, whose cold and warm times are 1.3 and 1."""

    def times(name, _record):
        return DENSE_SECONDS if name == "dense" else 1.0

    run = make_run([workload("one", 0.1)], ("dense", "gather"), times=times, noise=QUIET)
    wanted = {Phase.FORWARD: warm, Phase.FORWARD_COLD: cold}
    cells = []
    for found in run.units[0].cells:
        if found.implementation == "gather" and found.phase in wanted:
            nanoseconds = int(wanted[found.phase] * DENSE_SECONDS * 1e9)
            processes = tuple(
                replace(samples, rounds=((nanoseconds,),) * len(samples.rounds))
                for samples in found.timing.processes
            )
            cells.append(replace(found, timing=replace(found.timing, processes=processes)))
        else:
            cells.append(found)
    return replace(run, units=(replace(run.units[0], cells=tuple(cells)),))


@pytest.mark.parametrize(
    ("cold", "warm", "pays_from", "pays_until"),
    [
        (1.0, 0.5, 1, None),
        (5.2, 0.5, 9, None),
        (1.3 + 0.25, 0.5, 2, None),
        (9.0, 1.2, None, None),
        (1.11, 1.2, 1, 1),
        (1.0, 1.04, 1, 8),
    ],
)
def test_a_cold_start_is_spread_over_the_uses_of_its_map(cold, warm, pays_from, pays_until):
    comparison = compare(amortised_run(cold, warm))
    rows = amortised(comparison, SETTING)
    gather = next(row for row in rows if row.implementation == "gather")
    for uses, seconds in zip((1, 10, 100), gather.seconds, strict=True):
        expected = DENSE_SECONDS * (cold + (uses - 1) * warm) / uses
        assert seconds == pytest.approx(expected, rel=1e-3)
    assert (gather.pays_from, gather.pays_until) == (pays_from, pays_until)
    assert gather.ratios[0] == pytest.approx(cold / 1.3, rel=1e-3)
    (summary,) = summarise(rows, "dense")
    assert summary.pays == (pays_from is not None and pays_until is None)


def test_a_map_that_is_used_once_costs_what_its_cold_pass_does_relative_to_the_baseline():
    comparison = compare(make_run([workload("one", 0.1)], ("dense", "gather")))
    row = comparison.tables[0].find("gather", Phase.FORWARD_COLD)
    gather = next(
        each for each in amortised(comparison, SETTING) if each.implementation == "gather"
    )
    assert gather.ratios[0] == pytest.approx(row.ratio.interval.estimate, rel=1e-12)


def test_an_implementation_without_a_warm_time_is_not_amortised():
    run = make_run([workload("one", 0.1)], phases=(Phase.FORWARD_COLD,))
    assert amortised(compare(run), SETTING) == []


USUAL_RATES = (Rate("cpu", "float32", 50e9, 10e9),)


def efficiency_of(work, rates=USUAL_RATES):
    run = make_run([workload("one", 0.1)], ("dense",), phases=(Phase.FORWARD,), noise=QUIET)
    cell = replace(run.units[0].cells[0], work=work)
    machine = replace(run.header.machine, rates=rates)
    run = replace(
        run,
        units=(replace(run.units[0], cells=(cell,)),),
        header=replace(run.header, machine=machine),
    )
    return run, efficiencies(run, compare(run), SETTING)


def test_the_limit_is_the_slower_of_arithmetic_and_traffic():
    seconds = DENSE_SECONDS * PHASE_FACTOR[Phase.FORWARD]
    _, (compute,) = efficiency_of(Work(25_000_000, 50_000_000, 1_000))
    assert compute.bound == "compute"
    assert compute.share == pytest.approx(25e6 / 50e9 / seconds, rel=1e-3)
    _, (memory,) = efficiency_of(Work(1_000, 2_000, 2_000_000))
    assert memory.bound == "memory"
    assert memory.share == pytest.approx(2e6 / 10e9 / seconds, rel=1e-3)
    assert memory.bytes_per_second == pytest.approx(2e6 / seconds, rel=1e-3)


def test_without_rates_there_are_rates_of_cells_but_no_shares():
    for rates in ((), (Rate("cpu", "float32", 0.0, 10e9),), (Rate("cpu", "float16", 1e9, 1e9),)):
        _, (found,) = efficiency_of(Work(1_000, 2_000, 2_000), rates)
        assert found.share is None
        assert found.multiply_adds_per_second > 0


def test_a_numbered_device_takes_the_rates_of_its_kind():
    run, _ = efficiency_of(Work(1, 1, 1), (Rate("cuda", "float32", 1e12, 1e12),))
    assert rate_of(run, Setting("cuda:1", "float32")).device == "cuda"
    assert rate_of(run, Setting("cpu", "float32")) is None


def test_phases_that_multiply_nothing_are_left_out_of_the_summary():
    run = make_run(density_group()[:2], ("dense", "gather"), phases=ALL_PHASES)
    comparison = compare(run)
    found = summarise_efficiency(efficiencies(run, comparison, SETTING), comparison.implementations)
    assert [phase for phase, _ in found] == [
        Phase.FORWARD,
        Phase.BACKWARD,
        Phase.FORWARD_COLD,
        Phase.TRAIN_STEP,
    ]
    assert [row.implementation for row in found[0][1]] == ["dense", "gather"]


def test_equal_reasons_are_one_line_and_failures_come_first():
    run = make_run([workload(f"w{place}", 0.1) for place in range(67)], ("dense", "brute"))
    unit = run.units[3]
    wrong = tuple(
        replace(cell, status=Status.INCORRECT, reason="off by 0.1", timing=None, verified="")
        if cell.implementation == "dense" and cell.phase is Phase.FORWARD
        else cell
        for cell in unit.cells
    )
    run = replace(run, units=(*run.units[:3], replace(unit, cells=wrong), *run.units[4:]))
    first, second = unmeasured(run)
    assert (first.status, first.cells, first.workloads) == (Status.INCORRECT, 1, ("w3",))
    assert (second.status, second.cells) == (Status.UNSUPPORTED, 201)
    assert len(second.workloads) == 67
    assert second.phases == tuple(map(str, HEADLINE))


def test_implementations_that_cannot_run_and_workloads_never_reached_are_listed():
    run = make_run(density_group()[:2])
    records = (*run.header.implementations, implementation("cuda", unavailable="no GPU"))
    planned = (*run.header.planned, "later")
    run = replace(run, header=replace(run.header, implementations=records, planned=planned))
    assert unavailable(run) == [("cuda", "no GPU")]
    assert not_reached(run) == ["later"]


def test_the_method_counts_rounds_stops_disturbances_and_checks():
    run = make_run(density_group()[:2], ("dense", "gather"), noise=Noise(length=10))
    found = method(run)
    facts = dict(found.facts)
    assert dict(found.stops) == {"precise": 24, "budget": 12}
    assert dict(found.verified) == {"dense": 12}
    assert facts["rounds in one process"] == "10 to 10, median 10"
    assert facts["disturbed rounds"].startswith("12 of 360 (3.3")
    assert facts["time spent: measuring"] == "6 s"
    assert found.command == "sparsebench run made --seconds 1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (0.04123, "0.0412"),
        (999.6, "1,000"),
        (99.99, "100"),
        (0, "0"),
    ],
)
def test_numbers_have_three_significant_digits_and_no_exponent(value, text):
    assert words.number(value) == text


def test_times_take_the_unit_of_their_estimate():
    assert words.seconds(0.00123) == "1.23 ms"
    assert words.seconds(3e-7) == "300 ns"
    assert words.seconds_range(Interval(1e-3, 0.9e-3, 1.1e-3)) == f"0.900{words.DASH}1.10"


def test_lists_read_as_in_a_sentence():
    assert words.listed([]) == ""
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed("abcdefghijk", most=3) == "a, b and 9 more"


def test_labels_show_what_cannot_be_seen_and_end_where_they_must():
    assert words.label("a\u202eb\n") == "a\\u202eb\\n"
    assert words.label("x" * 100, 10) == "x" * 10 + "…"
    assert words.label("\u05d0") == "\u2068\u05d0\u2069"
