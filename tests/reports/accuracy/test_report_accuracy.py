from dataclasses import replace
from pathlib import Path

from bench.cli.training_output import print_summary, say_left_out
from reports.accuracy.table import table
from tests.reports.trained_runs import trained as run

VERSIONS = ("full", "small")


def rows(*runs, experiments=()):
    lines = list(table(runs, dict.fromkeys(experiments, VERSIONS)))
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]], lines


def test_a_trained_error_stands_beside_the_published_one_with_the_difference():
    (row,), lines = rows(run(0.66))
    assert row["test error"] == "0.66 %"
    assert row["published"] == "0.58 % (Graham 2014)"
    assert row["difference"] == "+0.08"
    assert (row["training"], row["CPU time"]) == ("120 s", "100 s")
    assert row["time to target"] == "0.7 % in 120 s"
    assert "sparsebench train mnist --seed 0" in lines


def test_a_spread_is_shown_from_three_seeds_on():
    (two,), _ = rows(run(0.6, 0), run(0.7, 1))
    assert two["test error"] == "0.65 %"
    (three,), lines = rows(run(0.6, 0), run(0.7, 1), run(0.8, 2))
    assert (three["test error"], three["seeds"]) == ("0.70 % ± 0.10", "3")
    assert three["time to target"] == "0.7 % not reached"
    assert sum("--seed" in line for line in lines) == 3


def test_a_seed_that_was_trained_again_counts_once_and_the_last_time():
    again = run(0.8, 0, finished="2026-02-02T03:04:05+00:00")
    (row,), lines = rows(again, run(0.6, 0), run(0.7, 1))
    assert (row["test error"], row["seeds"]) == ("0.75 %", "2")
    assert sum("--seed" in line for line in lines) == 2


def test_a_small_version_is_compared_with_nothing_and_comes_last():
    (full, small), _ = rows(run(5.0, small=True), run(0.7))
    assert full["experiment"] == "mnist"
    assert small["experiment"] == "mnist (small)"
    assert (small["published"], small["difference"]) == ("-", "-")


def test_the_end_of_a_training_is_told_beside_what_was_published_but_not_of_a_small_version(capsys):
    print_summary(run(0.66), Path("a.json"))
    assert "test error 0.66 % after 2 epochs and 120 s of training; published: 0.58 % (Graham" in (
        capsys.readouterr().out
    )
    small = run(0.66, small=True)
    first = replace(small.epochs[-1], number=1)
    settings = replace(small.settings, epochs=1)
    print_summary(replace(small, settings=settings, epochs=(first,)), Path("a.json"))
    told = capsys.readouterr().out
    assert "after 1 epoch and" in told
    assert "published" not in told


def test_implementations_and_settings_have_rows_of_their_own():
    other = run(0.7)
    shared = replace(other, settings=replace(other.settings, processes=2))
    found, _ = rows(run(0.6), run(0.6, implementation="dense"), shared)
    assert [row["implementation"] for row in found] == ["dense", "gather", "gather, 2 processes"]


def test_another_number_of_epochs_than_the_experiments_own_is_told():
    (row,), _ = rows(run(0.6))
    assert row["epochs"] == "2"
    (row,), _ = rows(run(0.6, planned=30))
    assert row["epochs"] == "2 instead of 30"


def test_what_was_not_trained_is_said():
    _, lines = rows(run(0.6), run(5, experiment="vgg", small=True), experiments=("mnist", "vgg"))
    assert lines[-1] == "Not trained in full: 1 experiment (vgg)."
    others = [f"e{number}" for number in range(9)]
    _, lines = rows(run(0.6), experiments=("mnist", *others))
    assert lines[-1] == "Not trained in full: 9 experiments (e0, e1, e2, e3 and 5 more)."
    _, lines = rows(run(0.6), experiments=("mnist",))
    assert "Not trained" not in lines[-1]


def test_what_was_trained_by_an_earlier_definition_is_marked_and_counts_as_not_trained():
    earlier = run(0.6, settings={"version": "other"})
    (row,), lines = rows(earlier, experiments=("mnist",))
    assert row["experiment"] == "mnist<br>of an earlier version"
    assert lines[-1] == "Not trained in full: 1 experiment (mnist)."
    (row,), _ = rows(earlier, experiments=("of other code",))
    assert row["experiment"] == "mnist"


def test_what_was_trained_without_broken_samples_is_marked_in_a_row_of_its_own():
    found, _ = rows(run(0.6), run(0.6, seed=1, left_out=("a", "b")))
    assert [row["experiment"] for row in found] == ["mnist", "mnist<br>without 2 broken samples"]


def test_broken_samples_that_are_left_out_are_counted_and_the_first_are_named(capsys):
    say_left_out(("one\x1b",))
    say_left_out(tuple("abcdefg"))
    assert capsys.readouterr().err.splitlines() == [
        r"sparsebench: left out: 1 broken sample (one\x1b)",
        "sparsebench: left out: 7 broken samples (a, b, c, d, e and 2 more)",
    ]


def test_joules_get_a_column_where_a_gpu_counted_them():
    (row,), _ = rows(run(0.6))
    assert "energy" not in row
    with_energy, without = rows(run(0.6, joules=500.0), run(0.6, implementation="minkowski"))[0]
    assert (with_energy["energy"], without["energy"]) == ("1,000 J", "-")


def test_mixed_precision_has_a_row_of_its_own_and_says_so():
    found, _ = rows(run(0.6), run(0.6, settings={"precision": "bfloat16"}))
    assert [row["implementation"] for row in found] == ["gather", "gather, mixed bfloat16"]
