"""The findings of a run in sentences, with the doubts beside them."""

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median

from bench.commits import DIRTY
from bench.phases import Phase
from bench.results.schema import OTHERS, Run, Status
from bench.statistics.intervals import DEAD_BAND, Interval, stray_processes
from bench.statistics.verdicts import RESOLUTION, Verdict
from reports import words
from reports.break_even import Group
from reports.clocks import LATE, late_cells
from reports.conditions import slowed
from reports.growth import Study
from reports.growth_sentences import longest_growth
from reports.sentences import break_even_sentences
from reports.speed import Comparison, Setting
from reports.standing import Lead, lead, standings
from reports.unmeasured import ORDER, unavailable

FEWEST_PROCESSES = 3
"""Fewer fresh processes than that make no number to publish."""
MANY_DISTURBED = 0.1
BUSY = 0.3
"""Processors that others may use, on average, before the times of a workload are doubted."""
PAIR = 2
WELL_AHEAD = 2.0
"""From this factor on, two digits say enough."""


@dataclass(frozen=True)
class Finding:
    """Sentences that the data wrote about one phase in one setting."""

    phase: Phase
    setting: Setting
    sentences: tuple[str, ...]

    @property
    def about(self) -> str:
        """The few words that say what they are about."""
        return f"{self.phase}, {self.setting.title}"


def findings(comparison: Comparison, curves: list[Group], studies: list[Study]) -> list[Finding]:
    """Return what the run shows in each setting and phase, who is fastest first."""
    found = []
    for setting in comparison.settings:
        for phase in comparison.headline:
            leader = lead(comparison, setting, phase)
            if leader is not None:
                own = [
                    group for group in curves if (group.setting, group.phase) == (setting, phase)
                ]
                crossings = break_even_sentences(own, comparison.baseline)
                growth = longest_growth(studies, setting, phase, comparison.baseline)
                sentences = [*_fastest(comparison, setting, phase, leader), *crossings]
                if growth is not None:
                    sentences.append(growth)
                found.append(Finding(phase, setting, tuple(sentences)))
    return found


def detectable(comparison: Comparison) -> str:
    """Say how small a difference this run could have seen, and how the verdicts came out."""
    effects = sorted(row.ratio.detectable for row in comparison.rows if row.ratio)
    if not effects:
        return "No ratio was measured, so nothing can be said about the smallest detectable effect."
    # One of an open interval is infinite: it could have detected nothing.
    most = effects[min(len(effects) - 1, int(0.9 * len(effects)))]
    judged = [row.verdict for row in comparison.rows if row.ratio]
    verdicts = Counter(each for each in judged if each)
    counts = words.listed(
        f"{verdicts[verdict]:,} {verdict}" for verdict in Verdict if verdicts[verdict]
    )
    half, nine_in_ten = words.effect(median(effects)), words.effect(most)
    found = (
        f"An effect of {half} would be found four times out of five in half of them, one of "
        f"{nine_in_ten} in nine of ten, each judged alone."
        if math.isfinite(median(effects))
        else "The smallest effect that would be found is unknown: there are too few rounds."
    )
    dead_band, resolution = (words.percent(math.expm1(own), 1) for own in (DEAD_BAND, RESOLUTION))
    return (
        f"Of {words.count(sum(verdicts.values()), 'comparison')} with "
        f"{words.label(comparison.baseline)}, {counts}. {found} A verdict means a difference beyond "
        f"{dead_band}, by a 99 % interval and after Holm's correction for all of them; “same” rules "
        f"out {resolution}.{_clear_alone(comparison)}"
    )


def _clear_alone(comparison: Comparison) -> str:
    """How many verdicts a reader of intervals would not expect."""
    clear = sum(
        row.verdict is Verdict.AMBIGUOUS and row.ratio is not None and _is_clear(row.ratio.interval)
        for row in comparison.rows
    )
    if not clear:
        return ""
    have = "has" if clear == 1 else "have"
    return (
        f" Of the ambiguous, {clear:,} {have} an interval beyond that: clear alone, but not certain "
        f"enough among so many."
    )


def _is_clear(interval: Interval) -> bool:
    return interval.is_known and (
        math.log(interval.low) > DEAD_BAND or math.log(interval.high) < -DEAD_BAND
    )


def doubts(run: Run, comparison: Comparison) -> list[str]:
    """Return everything that should make a reader careful, in words; wrong results first."""
    return _wrong(run, comparison) + doubts_of_times(run, comparison) + _missing(run, comparison)


def doubts_of_times(run: Run, comparison: Comparison) -> list[str]:
    """Return what casts doubt on the times there are."""
    found = [words.label(doubt, words.LONGEST_TITLE) for doubt in run.header.machine.doubts]
    if not run.finished:
        done = len({unit.workload.name for unit in run.units})
        found.append(
            f"the run is unfinished: {done:,} of "
            f"{words.count(len(run.header.planned), 'workload')} were measured"
        )
    fewest = min(settings.processes for settings in run.settings)
    if fewest < FEWEST_PROCESSES:
        found.append(
            f"fresh processes per workload: {fewest:,}; published numbers need "
            f"at least {FEWEST_PROCESSES}, because memory layout differs between processes"
        )
    if run.header.commit.endswith(DIRTY):
        found.append("the checkout had uncommitted changes")
    commits = run.header.all_commits
    if dirty := [words.label(name) for name, commit in commits.items() if commit.endswith(DIRTY)]:
        found.append(f"the repository of {words.listed(dirty)} had uncommitted changes")
    if crowded := _crowded(run):
        least, most = (words.number(pick(crowded), 2) for pick in (min, max))
        found.append(
            f"while {len(crowded):,} of {words.count(len(run.units), 'workload')} "
            f"{'was' if len(crowded) == 1 else 'were'} measured, other programs used "
            f"{least if least == most else f'{least} to {most}'} processors"
        )
    found += slowed(run.units)
    share = _disturbed_share(run)
    if share > MANY_DISTURBED:
        found.append(
            f"{words.percent(share)} of all rounds were interrupted: other programs took the processor"
        )
    late = late_cells([cell.timing for cell in run.cells if cell.timing is not None])
    if late:
        found.append(
            f"in {words.count(late, 'cell')} the GPU began more than {words.percent(LATE)} of the "
            f"samples before all of a call was queued: it may have waited for launches meanwhile"
        )
    if run.cells and not comparison.has_baseline:
        found.append(
            f"no cell of {words.label(comparison.baseline)} was timed: there are times, but no "
            f"ratios, no verdicts and no break-even"
        )
    return found + _of_times(comparison)


def _crowded(run: Run) -> list[float]:
    """Processors that others used, where they were many."""
    used = [
        unit.seconds.get(OTHERS, 0.0) / max(unit.seconds.get("wall", 0.0), 1.0)
        for unit in run.units
    ]
    return [processors for processors in used if processors > BUSY]


def _of_times(comparison: Comparison) -> list[str]:
    """Doubts about intervals: cells of a single round, and processes that were left out."""
    timed = [row for row in comparison.rows if row.seconds is not None]
    single = sum(not row.seconds.is_known for row in timed if row.seconds)
    strays = sum(stray_processes(row.cell.timing) for row in timed if row.cell.timing)
    of_ratios = sum(row.ratio.strays for row in timed if row.ratio)
    found = []
    if single:
        found.append(
            f"{words.count(single, 'time')} of {len(timed):,} come from a single round: their "
            f"intervals are unknown, and no verdict is given"
        )
    if strays or of_ratios:
        found.append(
            f"processes left out because they lie far off all others: {strays:,} of times and "
            f"{of_ratios:,} of ratios; the run file holds their samples"
        )
    return found


def _wrong(run: Run, comparison: Comparison) -> list[str]:
    cells, names = _of_status(run, comparison, Status.INCORRECT)
    return [f"wrong results, and so no times: {cells} ({names})"] if names else []


def _missing(run: Run, comparison: Comparison) -> list[str]:
    """What is not in the picture: implementations that could not run, cells without a time."""
    found = []
    if absent := [words.label(name) for name, _ in unavailable(run)]:
        found.append(f"not available on this machine, and so not compared: {words.listed(absent)}")
    for status in ORDER:
        cells, names = _of_status(run, comparison, status)
        if names and status is not Status.INCORRECT:
            found.append(f"not measured: {cells}, {str(status).replace('_', ' ')} ({names})")
    return found


def _of_status(run: Run, comparison: Comparison, status: Status) -> tuple[str, str]:
    """How many cells ended so, and in how many whose did."""
    counts = Counter(cell.implementation for cell in run.cells if cell.status is status)
    names = words.listed(
        f"{words.label(name)} in {counts[name]:,}"
        for name in comparison.implementations
        if counts[name]
    )
    return words.count(counts.total(), "cell"), names


def _fastest(comparison: Comparison, setting: Setting, phase: Phase, leader: Lead) -> list[str]:
    """Who is ahead, by how much, and what that is a mean of."""
    names = [words.label(name) for name in leader.ranking]
    baseline = words.label(comparison.baseline)
    over = words.count(leader.workloads, "workload")
    if len(names) == 1:
        alone = f"only {names[0]} has times (over {over}), so there is nothing to compare it with."
        return [alone + _left_out(leader)]
    everyone = "both" if len(names) == PAIR else f"all {len(names)}"
    basis = (
        f"Geometric mean over {over} that {everyone} completed, with its 99{words.SPACE}% interval."
        f"{_wins(comparison, setting, phase)}"
    )
    against = leader.against_baseline
    faster = "" if against is None else _as_fast(against.inverse(), baseline)
    if leader.ahead is None:
        rest = f": {faster}" if faster else ""
        text = (
            f"{names[0]} is fastest overall{rest}; no rounds are shared with {names[1]}, the next."
        )
    elif leader.ahead.low <= 1:
        text = (
            f"{names[0]} and {names[1]} cannot be told apart as the fastest: {names[1]} takes "
            f"{words.ratio(leader.ahead.estimate)} the time of {names[0]} "
            f"({words.ratio_range(leader.ahead)})."
        )
        if faster and names[1] != baseline:
            text += f" {names[0]} is {faster}."
    else:
        next_best = _as_fast(leader.ahead, names[1])
        first = f"{faster}, and " if faster and names[1] != baseline else ""
        text = f"{names[0]} is fastest overall: {first}{next_best}, the next best."
    return [text, *_in_first_calls(names[0], leader, baseline), basis + _left_out(leader)]


def _in_first_calls(name: str, leader: Lead, baseline: str) -> list[str]:
    """How far ahead it is where caches hold nothing of its own."""
    if leader.in_first_calls is None:
        return []
    times = _as_fast(leader.in_first_calls.inverse(), baseline)
    return [f"In the first call after others were at work, {name} is {times}."]


def _wins(comparison: Comparison, setting: Setting, phase: Phase) -> str:
    """In how many single workloads each is fastest: a mean hides those where it is not the first."""
    wins = {
        standing.implementation: standing.fastest
        for standing in standings(comparison, setting, phase)
        if standing.fastest
    }
    most = sorted(wins, key=lambda name: -wins[name])
    shares = words.listed(f"{words.label(name)} in {wins[name]}" for name in most)
    return f" Fastest in single workloads, or level with the fastest: {shares}."


def _as_fast(times: Interval, other: str) -> str:
    """Say by what factor somebody is faster than another."""
    digits = 2 if times.estimate >= WELL_AHEAD else 3
    prefix = "interval " if words.why_unknown(times) else ""
    interval = f"{prefix}{words.ratio_range(times, digits)}"
    return f"{words.number(times.estimate, digits)} times as fast as {other} ({interval})"


def _left_out(leader: Lead) -> str:
    if not leader.left_out:
        return ""
    names = words.listed(words.label(name) for name in leader.left_out)
    return f" Not ranked, because too few workloads completed: {names}."


def _disturbed_share(run: Run) -> float:
    samples = [
        entry for cell in run.cells if cell.timing is not None for entry in cell.timing.processes
    ]
    rounds = sum(len(entry.rounds) for entry in samples)
    return sum(len(entry.disturbed) for entry in samples) / rounds if rounds else 0.0
