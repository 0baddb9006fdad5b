"""Two runs compared: verdicts, refusals, exit codes, and how they are told."""

import json
import math
from dataclasses import replace

import pytest

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.results.schema import Status
from bench.results.store import write
from bench.statistics.intervals import Interval
from bench.statistics.verdicts import Verdict
from reports import words
from reports.changes import caveat, headline, missing, missing_together, to_markdown
from tests.reports.compared_runs import changed, ended, lock_step, made, noisy_lock_step, verdicts
from tests.reports.synthetic_runs import Noise, density_group, make_run, renamed, workload


def test_two_runs_of_the_same_code_are_the_same():
    changes = compare_runs(made(seed=1), made(seed=2))
    assert {cell.verdict for cell in changes.cells} == {Verdict.SAME}
    assert changes.exit_code == 0
    assert headline(changes).startswith(
        "Nothing is slower: a slowdown of 5 % is ruled out in all of 27"
    )


@pytest.mark.parametrize(("factor", "verdict"), [(1.1, Verdict.SLOWER), (0.8, Verdict.FASTER)])
def test_a_change_of_one_implementation_is_told_of_it_alone(factor, verdict):
    changes = compare_runs(made(seed=1), made(factor, seed=2))
    assert verdicts(changes, "gather") == {verdict}
    assert verdicts(changes, "dense") == verdicts(changes, "masked") == {Verdict.SAME}
    assert changes.exit_code == (1 if factor > 1 else 0)
    for cell in changes.of(verdict):
        assert cell.ratio.interval.low < factor < cell.ratio.interval.high


def test_who_became_faster_is_not_said_to_have_changed_by_less():
    assert "a slowdown of 5 % is ruled out" in headline(compare_runs(made(), made(0.8, seed=2)))


def test_rounds_pair_in_lock_step_and_nowhere_else():
    run = made()
    for paired in (True, False):
        for cell in compare_runs(run, run, paired=paired).compared:
            width = math.log(cell.ratio.interval.high / cell.ratio.interval.low)
            assert (width < 1e-6) == paired


def test_families_are_geometric_means_with_narrower_intervals():
    changes = compare_runs(made(seed=1), made(1.1, seed=2))
    families = {(family.implementation, family.phase): family for family in changes.families}
    mean = families["gather", "forward"].mean
    assert mean.low < 1.1 < mean.high
    assert families["gather", "forward"].verdicts == {Verdict.SLOWER: 3}
    widest = max(c.ratio.interval.high / c.ratio.interval.low for c in changes.compared)
    assert mean.high / mean.low < widest


def test_the_headline_names_the_worst_cell():
    changes = compare_runs(made(seed=1), made(1.1, seed=2))
    text = headline(changes)
    assert text.startswith("Slower in 9 of 27 cells, by 1")
    assert "gather" in text


def test_a_slowdown_in_lock_step_has_been_measured_again_already():
    text = headline(compare_runs(made(seed=1), made(1.1, seed=2), paired=True))
    assert text.endswith(": investigate.")
    assert "measure both again" in headline(compare_runs(made(seed=1), made(1.1, seed=2)))


def test_an_effect_and_an_interval_that_say_nothing_have_no_numbers():
    assert words.effect(0.0312).replace("\u00a0", " ") == "3.1 %"
    assert words.effect(3.6e41).replace("\u00a0", " ") == "over 1,000 %"
    assert words.effect(math.inf) == "unknown"
    assert words.ratio_range(Interval(200, 3e-7, 1.8e11)) == "unknown: too noisy"
    assert words.seconds_range(Interval(1e-3, 1e-9, 1e2)) == "unknown: too noisy"


def test_noise_is_no_slowdown_and_no_clearance():
    loud = Noise(rounds=0.2, processes=0.2, count=3)
    changes = compare_runs(made(seed=1, noise=loud), made(seed=2, noise=loud))
    assert not changes.of(Verdict.SLOWER)
    assert changes.of(Verdict.AMBIGUOUS)
    assert changes.exit_code == 3
    assert "too noisy to rule out 5 %" in headline(changes)


@pytest.mark.parametrize("status", [Status.INCORRECT, Status.ERROR, Status.TIMEOUT])
def test_who_fails_now_outweighs_everything(status):
    changes = compare_runs(made(), changed(made(1.5), ended(status)))
    assert changes.exit_code == 4
    assert headline(changes) == "9 cells failed that did not before (gather): fix these first."
    assert len(missing(changes)) == 9
    (row,) = missing_together(changes)
    assert row["reason"] == f"{status} in the head: why it ended"
    assert (row["implementation"], row["cells"]) == ("gather", "9")


def test_who_failed_before_is_no_news():
    broken = changed(made(), ended(Status.INCORRECT))
    changes = compare_runs(broken, broken)
    assert changes.exit_code == 0
    assert len(changes.compared) == 18


@pytest.mark.parametrize("before", [Status.UNSUPPORTED, None])
def test_who_fails_without_ever_having_had_a_time_is_wrong_too(before):
    base = changed(made(), ended(before)) if before else made(names=("dense", "masked"))
    changes = compare_runs(base, changed(made(), ended(Status.ERROR)))
    assert (len(changes.failed), len(changes.broken)) == (9, 0)
    assert changes.exit_code == 4


def test_cells_that_cannot_be_compared_leave_the_question_open():
    def otherwise(cell):
        return replace(cell, workload_version="another")

    changes = compare_runs(made(seed=1), changed(made(seed=2), otherwise))
    assert (changes.exit_code, len(changes.incomparable)) == (3, 9)
    assert headline(changes).startswith(
        "Nothing is slower in 18 cells, but 9 with a time in both could not be compared: the workload "
    )


@pytest.mark.parametrize(
    ("commit", "told"),
    [("1234567890abcdef+dirty", "head 1234567890ab+dirty"), ("", "head (no commit)")],
)
def test_a_head_with_changes_that_no_commit_holds_is_told_as_one(commit, told):
    run = made()
    head = replace(run, header=replace(run.header, commit=commit))
    assert told in caveat(compare_runs(run, head, paired=True))


def test_a_time_that_is_gone_is_missed():
    changes = compare_runs(made(), changed(made(), ended(Status.UNAVAILABLE)))
    assert (changes.exit_code, len(changes.broken)) == (3, 9)
    assert headline(changes) == "Nothing is slower; 9 times of the base are missing."
    changes = compare_runs(made(), made(names=("dense", "masked")))
    assert {cell.head_status for cell in changes.broken} == {"absent"}


def test_what_is_new_is_left_out_and_said():
    changes = compare_runs(made(names=("dense",)), made())
    assert changes.exit_code == 0
    assert "new: the base has no such cell" in to_markdown(changes)


def test_other_machines_and_workloads_are_refused_cell_by_cell():
    head = made()
    machine = replace(head.header.machine, name="another")
    changes = compare_runs(made(), replace(head, header=replace(head.header, machine=machine)))
    assert changes.exit_code == 3
    assert headline(changes).startswith("Nothing could be compared: measured on different machines")
    units = (
        replace(
            head.units[0],
            cells=tuple(replace(cell, workload_version="other") for cell in head.units[0].cells),
        ),
        *head.units[1:],
    )
    changes = compare_runs(made(), replace(head, units=units))
    assert len(changes.compared) == 18
    refused = [cell for cell in changes.cells if cell.ratio is None]
    assert {cell.reason for cell in refused} == {
        "the workload changed: version 0123456789ab, other"
    }


def test_nothing_can_be_compared_with_an_empty_run():
    changes = compare_runs(replace(made(), units=()), replace(made(), units=()))
    assert changes.exit_code == 3
    assert headline(changes) == "Nothing could be compared: the runs have no cells."
    changes = compare_runs(made(names=("dense",)), made(names=("gather",)))
    assert headline(changes) == "Nothing could be compared: the runs have no cells in common."


def test_cells_that_only_one_run_has_are_no_reason_why_others_cannot_be_compared():
    head = made(names=("dense", "gather", "masked", "other"))
    machine = replace(head.header.machine, name="another")
    head = replace(head, header=replace(head.header, machine=machine))
    changes = compare_runs(made(names=("dense",)), head)
    assert headline(changes).startswith("Nothing could be compared: measured on different machines")


def test_a_comment_has_the_verdict_first_and_the_rest_folded():
    text = to_markdown(compare_runs(made(seed=1), made(1.1, seed=2)))
    lines = text.splitlines()
    assert lines[1].startswith("**Slower in 9 of 27 cells")
    assert "<details><summary>9 cells not the same</summary>" in lines
    assert "<details><summary>18 cells the same</summary>" in lines
    assert any(line.startswith("| gather | forward |") for line in lines)


def test_a_comment_has_the_whole_verdict():
    names = [f"variant_with_a_rather_long_name_number_{each}" for each in range(8)]

    def failing(run):
        for name in names:
            run = changed(run, ended(Status.ERROR), name)
        return run

    def run(seed):
        return make_run(density_group()[:1], ["dense", *names], times=lambda *_: 1e-3, seed=seed)

    first = to_markdown(compare_runs(run(1), failing(run(2)))).splitlines()[1]
    assert names[-1] in first
    assert first.endswith("fix these first.**")


def test_hostile_names_stay_in_their_cell():
    hostile = "a|b `c` <script>\nnext"
    base, head = (renamed(made(f, seed=2), "gather", hostile) for f in (1, 1.2))
    text = to_markdown(compare_runs(base, head))
    assert "<script>" not in text
    tables = [line for line in text.splitlines() if line.startswith("| a")]
    assert tables
    assert {line.count("|") for line in tables} == {6}


def test_the_command_prints_and_leaves_with_the_codes(tmp_path, capsys):
    base, slow = tmp_path / "base.json", tmp_path / "slow.json"
    write(made(seed=1), base)
    write(made(1.1, seed=2), slow)
    assert main(["compare", str(base), str(base)]) == 0
    assert main(["compare", str(base), str(slow)]) == 1
    shown = capsys.readouterr().out
    assert "Slower in 9 of 27" in shown
    assert "18 more cells: --all lists them" in shown
    assert main(["compare", str(base), str(slow), "--all"]) == 1
    assert "more cells" not in capsys.readouterr().out
    assert main(["compare", str(base), str(slow), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 1
    assert len(found["cells"]) == 27
    assert main(["compare", str(base), str(slow), "--markdown"]) == 1
    assert capsys.readouterr().out.startswith("<!-- generator: sparsebench compare -->")


def test_files_of_a_pattern_are_merged(tmp_path, capsys):
    records = [workload("first", 0.1), workload("second", 0.2)]
    for number, record in enumerate(records):
        write(made(records=[record], seed=number), tmp_path / f"part{number}.json")
    write(made(records=records), tmp_path / "whole.json")
    assert main(["compare", str(tmp_path / "part*.json"), str(tmp_path / "whole.json")]) == 0
    assert "all of 18 cells" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["nowhere.json", "nowhere-*.json"])
def test_a_missing_file_is_one_line(missing, tmp_path, capsys):
    assert main(["compare", str(tmp_path / missing), str(tmp_path / missing)]) == 2
    assert missing in capsys.readouterr().err


def test_instructions_stand_beside_the_times_where_they_were_counted():
    base, head = (
        changed(made(1.1, seed=seed), lambda cell, count=count: replace(cell, instructions=count))
        for seed, count in ((1, 1_000_000), (2, 1_001_500))
    )
    changes = compare_runs(base, head)
    told = {cell.implementation: cell.instructions for cell in changes.cells}
    assert told == {"dense": None, "gather": pytest.approx(1.0015), "masked": None}
    assert f"1.0015{words.TIMES}" in to_markdown(changes)
    assert "instructions" not in to_markdown(compare_runs(made(seed=1), made(1.1, seed=2)))


def test_the_largest_change_comes_first_in_either_direction():
    changes = compare_runs(made(seed=1), made(seed=2))
    ratios = [replace(changes.cells[0].ratio, interval=Interval(x, x, x)) for x in (0.9, 0.5, 0.7)]
    cells = [replace(changes.cells[0], verdict=Verdict.FASTER, ratio=each) for each in ratios]
    found = replace(changes, cells=tuple(cells)).of(Verdict.FASTER)
    assert [cell.ratio.interval.estimate for cell in found] == [0.5, 0.7, 0.9]


def test_of_families_that_became_slower_the_largest_comes_first():
    changes = lock_step(1.0, 1)
    families = [
        replace(
            family,
            verdict=Verdict.SLOWER,
            shared=replace(family.shared, interval=Interval(factor, factor, factor)),
        )
        for family, factor in zip(changes.families, (1.1, 1.5, 1.3), strict=False)
    ]
    found = replace(changes, families=tuple(families)).slower_families
    assert [family.shared.interval.estimate for family in found] == [1.5, 1.3, 1.1]


def test_a_family_that_is_not_known_well_leaves_the_question_open():
    changes = lock_step(1.0, 1)
    assert changes.exit_code == 0
    unsure = replace(changes.families[0], verdict=Verdict.AMBIGUOUS)
    open_question = replace(changes, families=(unsure, *changes.families[1:]))
    assert open_question.exit_code == 3
    assert headline(open_question).startswith(
        "Nothing is known to be slower, but it is unclear whether all cells of dense "
    )


def test_families_are_corrected_for_their_number(monkeypatch):
    monkeypatch.setattr("bench.statistics.verdicts.corrected", lambda found, _: [1.0] * len(found))
    assert not noisy_lock_step(1.05, 1).slower_families


def test_what_hardly_a_cell_shows_all_cells_of_a_family_show_together():
    changes = noisy_lock_step(1.02, 1)
    assert len(changes.of(Verdict.SLOWER)) < 3
    found = {(each.implementation, each.phase): each for each in changes.families}
    shared = found["gather", "forward"].shared.interval
    assert 1.01 < shared.low < 1.02 < shared.high < 1.03
    assert {family.implementation for family in changes.slower_families} == {"gather"}
    assert changes.exit_code == 1
    assert headline(changes).startswith("Slower: gather ")
    assert "shared" in to_markdown(changes)


def test_families_of_the_same_code_share_nothing():
    false = [
        family
        for seed in range(12)
        for family in noisy_lock_step(1.0, 10 * seed).families
        if family.verdict in {Verdict.SLOWER, Verdict.FASTER}
    ]
    assert not false


def test_runs_at_two_times_share_whatever_the_machine_did():
    changes = compare_runs(made(seed=1), made(1.1, seed=2))
    assert {family.verdict for family in changes.families} == {Verdict.MISSING}
