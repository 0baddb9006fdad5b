"""Where the time of a training step goes, phase upon phase: encoding, map, multiplying, gradients.

What was not timed apart stands together: without `encode` and `map`, what a cold pass takes beyond a
warm one is both. Who starts from a dense tensor encodes nothing in these phases. Parts of a warm pass
come from calls that lack them, where an implementation has them.
"""

from dataclasses import dataclass
from statistics import median

from bench.phases import Phase
from bench.results.schema import Run
from reports.parts import REST
from reports.speed import Comparison, Setting, Table
from reports.words import plain

ENCODE, MAP, PREPARE = "encode", "map", "encode and map"
MOVE, MULTIPLY, FORWARD = "gather and scatter", "multiply", "forward"
BACKWARD = "backward and loss"
SEGMENTS = (ENCODE, MAP, PREPARE, MOVE, MULTIPLY, FORWARD, BACKWARD)


LEAST_SHOWN = 0.4
"""Per cent of a bar: a pixel."""


@dataclass(frozen=True)
class Stack:
    """One implementation on one workload.

    Attributes:
        seconds: by segment, in order.
        measured: seconds of the training step, or cold pass, as measured by itself.
        bar: per cent of the workload's longest stack at which each segment ends.
    """

    implementation: str
    seconds: dict[str, float]
    measured: float
    bar: dict[str, str]

    @property
    def total(self) -> float:
        """Seconds of all segments."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class StackSummary:
    """One implementation over all workloads: median shares by segment, 0 where it has none."""

    implementation: str
    workloads: int
    shares: dict[str, float]
    bar: dict[str, str]


def stacks(
    run: Run, comparison: Comparison, setting: Setting
) -> list[tuple[int, str, list[Stack]]]:
    """Return number and name of every workload with the stacks of its implementations."""
    start_dense = {record.name for record in run.header.implementations if record.starts_dense}
    found = []
    for number, table in enumerate(comparison.tables):
        if table.setting != setting:
            continue
        taken = {
            name: _seconds(table, name, encodes=name not in start_dense)
            for name in comparison.implementations
        }
        known = {name: own for name, own in taken.items() if own is not None}
        longest = max((sum(own[0].values()) for own in known.values()), default=0.0)
        if longest > 0:
            found.append(
                (
                    number,
                    table.workload.name,
                    [
                        Stack(name, seconds, measured, _bar(seconds, longest))
                        for name, (seconds, measured) in known.items()
                    ],
                )
            )
    return found


def summarise(found: list[tuple[int, str, list[Stack]]]) -> list[StackSummary]:
    """Sum up over workloads: medians of shares, brought to a whole."""
    members: dict[str, list[Stack]] = {}
    for _, _, stacks_ in found:
        for stack in stacks_:
            members.setdefault(stack.implementation, []).append(stack)
    summaries = []
    for name, own in members.items():
        middle = {
            segment: median([stack.seconds.get(segment, 0.0) / stack.total for stack in own])
            for segment in SEGMENTS
        }
        whole = sum(middle.values())
        shares = {segment: share / whole for segment, share in middle.items()} if whole else middle
        summaries.append(StackSummary(name, len(own), shares, _bar(shares, 1.0)))
    return summaries


def segments_of(found: list[tuple[int, str, list[Stack]]]) -> list[str]:
    """The segments that occur, in order."""
    present = {segment for _, _, own in found for stack in own for segment in stack.seconds}
    return [segment for segment in SEGMENTS if segment in present]


def _seconds(table: Table, name: str, *, encodes: bool) -> tuple[dict[str, float], float] | None:
    """Seconds by segment, and those of the whole; None without a cold pass and a warm one."""
    rows = {phase: table.find(name, phase) for phase in Phase}
    times = {
        phase: row.seconds.estimate
        for phase, row in rows.items()
        if row is not None and row.seconds is not None
    }
    warm, cold = times.get(Phase.FORWARD), times.get(Phase.FORWARD_COLD)
    if cold is None:
        return None
    seconds: dict[str, float] = {}
    if warm is None:
        seconds[FORWARD] = cold
    else:
        if Phase.ENCODE in times and Phase.MAP in times:
            seconds |= {ENCODE: times[Phase.ENCODE]} if encodes else {}
            seconds |= {MAP: times[Phase.MAP]}
        elif encodes:
            seconds[PREPARE] = max(0.0, cold - warm)
        row = rows[Phase.FORWARD]
        seconds |= _warm(warm, row.cell.parts if row is not None else {})
    step = times.get(Phase.TRAIN_STEP)
    if step is not None:
        seconds[BACKWARD] = max(0.0, step - cold)
    return seconds, cold if step is None else step


def _warm(seconds: float, parts: dict[str, float]) -> dict[str, float]:
    """A warm pass, split as its parts are."""
    total = sum(max(0.0, value) for value in parts.values())
    if total <= 0:
        return {FORWARD: seconds}
    multiply = max(0.0, parts.get(REST, 0.0)) / total
    return {MOVE: seconds * (1 - multiply), MULTIPLY: seconds * multiply}


def _bar(values: dict[str, float], whole: float) -> dict[str, str]:
    """Lay segments out one after another; those too short to be seen are left out."""
    ends: dict[str, str] = {}
    drawn = end = 0.0
    for segment in SEGMENTS:
        end += 100 * values.get(segment, 0.0) / whole
        if end - drawn >= LEAST_SHOWN:
            ends[segment] = plain(round(end, 1))
            drawn = end
    return ends
