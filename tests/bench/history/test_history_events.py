"""What steps, lost times and news make of series that are made up."""

import re
from dataclasses import replace

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

from bench.history.events import (
    Commits,
    breakages,
    events,
    new_breakages,
    news,
    recent,
)
from bench.history.series import History, Key, RunPoint, Series, without
from bench.history.steps import Step
from bench.statistics.intervals import Interval
from reports.history.sentences import ordered, step_words

RUNS = 12


def run_point(number, machine="box"):
    return RunPoint(
        f"run-{number:02}", f"2026-01-{number + 1:02}", f"c{number}", machine, "numpy 2"
    )


def series_of(implementation="gather", *, places=range(RUNS), lost=(), own=False, baseline=None):
    """A series in these runs, without a time in those that are lost.

    Args:
        implementation: whose.
        places: of its runs.
        lost: places of those where it failed.
        own: whether it lies in a repository of its own.
        baseline: what it is relative to.
    """
    key = Key("box", "made", "layer", "v1", implementation, "forward", "float32", "cpu")
    places = tuple(places)
    times = tuple(None if place in lost else 1.0 for place in places)
    return Series(
        key,
        baseline,
        places,
        statuses=tuple("error" if place in lost else "ok" for place in places),
        versions=tuple(f"v{place}" for place in places),
        commits=tuple(f"p{place}" if own else "" for place in places),
        seconds=times,
        relative=times if baseline else (None,) * len(places),
    )


def step(at, size=1.2, *, width=1.02, of_baseline=False):
    return Step(at, Interval(size, size / width, size * width), 1e-6, of_baseline)


def history_of(*lines):
    """A history of series, each with its steps."""
    series, steps = zip(*lines, strict=True)
    return History(tuple(map(run_point, range(RUNS))), series, steps, ())


def test_without_some_runs_what_is_left_stays_with_its_run():
    other = series_of("masked", places=(3, 5))
    left = without(history_of((series_of(own=True), ()), (other, ())), {"run-03", "run-05"})
    (one,) = left.series
    kept = [number for number in range(RUNS) if number not in {3, 5}]
    assert [run.name for run in left.runs] == [f"run-{number:02}" for number in kept]
    assert one.runs == tuple(range(len(kept)))
    assert one.versions == tuple(f"v{number}" for number in kept)
    assert one.commits == tuple(f"p{number}" for number in kept)


def test_without_some_runs_a_lost_time_is_lost_in_the_run_where_it_was():
    left = without(history_of((series_of(lost=(9, 10, 11)), ())), {"run-00", "run-09"})
    (found,) = breakages(left)
    assert found.since.name == "run-10"


def test_a_lost_time_lies_between_commits_of_runs_that_have_the_cell():
    places = (2, 4, 7, 9)
    for own, expected in ((False, Commits("c4", "c7")), (True, Commits("p4", "p7", ("gather",)))):
        series = series_of(places=places, lost=(7, 9), own=own)
        (found,) = breakages(history_of((series, ())))
        assert (found.since.name, found.commits) == ("run-07", expected)


def test_times_that_were_lost_last_are_told_first():
    lines = [
        (series_of(name, lost=range(first, RUNS)), ()) for name, first in [("a", 8), ("b", 10)]
    ]
    found = breakages(history_of(*lines))
    assert [each.series.key.implementation for each in found] == ["b", "a"]


def test_a_lost_time_is_told_by_how_the_cell_ended_last():
    series = series_of(lost=(9, 10, 11))
    series = replace(series, statuses=(*series.statuses[:-1], "incorrect"))
    (found,) = breakages(history_of((series, ())))
    assert (found.since.name, found.status) == ("run-09", "incorrect")


def test_a_lost_time_is_known_of_the_same_cell_relative_to_the_same_only():
    lost = series_of(lost=(10, 11))
    earlier, now = history_of((lost, ())), breakages(history_of((lost, ())))
    assert new_breakages(earlier, now) == []
    other = series_of(lost=(10, 11), baseline="dense")
    assert new_breakages(history_of((other, ())), now) == now


def test_the_newest_event_comes_first_and_of_one_night_the_slowdown():
    found = events(
        history_of(
            (series_of("a"), (step(4), step(8, 0.8))),
            (series_of("b"), (step(8, 1.3),)),
            (series_of("c"), (step(6, 0.5),)),
        )
    )
    assert [(each.after.name, each.is_slower) for each in found] == [
        ("run-08", True),
        ("run-08", False),
        ("run-06", False),
        ("run-04", True),
    ]


@pytest.mark.parametrize("sizes", [(1.1, 1.5, 1.3), (0.9, 0.5, 0.7)])
def test_of_an_event_the_largest_change_comes_first_whichever_way(sizes):
    lines = [(series_of(name), (step(6, size),)) for name, size in zip("abc", sizes, strict=True)]
    (event,) = events(history_of(*lines))
    assert [each.series.key.implementation for each in event.changes] == ["b", "c", "a"]


def test_an_event_tells_versions_of_the_runs_that_have_the_cell_s_time():
    series = series_of(places=range(1, RUNS), lost=(3, 6))
    (event,) = events(history_of((series, (step(4),))))
    assert (event.before.name, event.after.name) == ("run-05", "run-07")
    assert event.also == ("gather v5 became v7",)


def test_a_step_of_a_plug_in_lies_between_its_commits_at_runs_that_have_its_time():
    series = series_of(places=range(1, RUNS), lost=(3, 6), own=True)
    (event,) = events(history_of((series, (step(4),))))
    assert event.commits == Commits("p5", "p7", ("gather",))


def is_news(known, now, **of_known):
    """Whether steps are news to who knew of others, in the same series."""
    series = series_of(baseline="dense")
    earlier = history_of((series_of(**{"baseline": "dense"} | of_known), known))
    return [
        change.step
        for event in news(earlier, events(history_of((series, now))))
        for change in event.changes
    ]


def test_a_step_that_comes_to_lie_up_to_two_runs_aside_is_no_news():
    for at, expected in ((4, False), (6, False), (8, False), (3, True), (9, True)):
        assert bool(is_news((step(6),), (step(at),))) == expected


def test_a_step_of_somewhat_another_size_is_no_news_as_long_as_one_interval_holds_the_other():
    wide, narrow = step(6, 1.2, width=1.1), step(6, 1.25, width=1.01)
    assert is_news((wide,), (narrow,)) == is_news((narrow,), (wide,)) == []
    assert is_news((step(6, 1.2),), (step(6, 1.5),)) == [step(6, 1.5)]


def test_a_step_the_other_way_is_news_however_uncertain_both_are():
    up, down = step(6, 1.02, width=1.1), step(6, 0.98, width=1.1)
    assert is_news((up,), (down,)) == [down]


def test_a_known_step_is_the_nearest_one_and_is_one_step_only():
    assert is_news((step(6),), (step(5), step(6))) == [step(5)]
    assert is_news((step(6),), (step(6), step(7))) == [step(7)]
    assert is_news((step(6), step(7)), (step(6), step(9))) == []


def test_a_step_relative_to_another_baseline_is_news():
    assert is_news((step(6),), (step(6),)) == []
    assert is_news((step(6),), (step(6),), baseline="masked") == [step(6)]


def test_the_last_runs_are_those_of_each_machine():
    runs = tuple(run_point(number, "often" if number % 4 else "seldom") for number in range(RUNS))
    names = recent(History(runs, (), (), ()), 2)
    assert names == {"run-04", "run-08", "run-10", "run-11"}


def test_series_are_listed_by_their_largest_step_and_not_by_how_many_they_have():
    history = history_of(
        (series_of("twice"), (step(4, 1.1), step(8, 1.1))),
        (series_of("never"), ()),
        (series_of("once"), (step(6, 0.5),)),
    )
    told = [series.key.implementation for series, _ in ordered(history)]
    assert told == ["once", "twice", "never"]


@pytest.mark.parametrize("size", [1.2, 0.8])
def test_a_step_s_interval_is_told_from_its_smaller_end_whichever_way(size):
    low, high = re.search(r"\((\d+)\D(\d+)", step_words(step(6, size, width=1.05))).groups()
    assert int(low) < 20 < int(high)
