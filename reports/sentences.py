"""Curves in words: below which density an implementation beats the baseline."""

from dataclasses import dataclass

from reports import words
from reports.break_even import Crossing, Curve, Group, Outcome

MOST_SINGLE_SENTENCES = 12
"""Beyond that many crossings, the verdict sums up by implementation."""


@dataclass(frozen=True)
class Finding:
    """A sentence that the data wrote, and the few words that say what it is about."""

    about: str
    text: str


def position(group: Group, value: float) -> str:
    """A place on the axis of a group: `38 % density`, `position 128`."""
    return words.percent(value) if group.is_density else words.number(value)


def axis(group: Group) -> str:
    """What the axis of a group shows."""
    return "density" if group.is_density else "position"


def outcome(group: Group, curve: Curve, baseline: str) -> str:
    """What a curve shows, as the end of a sentence that starts with the implementation."""
    noun, other = axis(group), words.label(baseline)
    match curve.outcome:
        case Outcome.CROSSES:
            return "; ".join(_crossing(group, crossing, other) for crossing in curve.crossings)
        case Outcome.FASTER:
            return f"no crossing: faster than {other} at every measured {noun}"
        case Outcome.SLOWER:
            return f"no crossing: slower than {other} at every measured {noun}"
        case Outcome.LEVEL:
            return _level(group, curve, other)
        case Outcome.UNKNOWN:
            return f"no ratio to {other}, so no crossing can be shown"


def band(group: Group, crossing: Crossing) -> str:
    """The band of a crossing; an open end is said to be one."""
    low = position(group, crossing.low) if crossing.low is not None else "open"
    high = position(group, crossing.high) if crossing.high is not None else "open"
    return f"{low}{words.DASH}{high}"


def break_even_findings(groups: list[Group], baseline: str) -> list[Finding]:
    """Say for what densities each implementation beats the baseline."""
    curves = [
        (group, curve)
        for group in groups
        for curve in group.curves
        if curve.implementation != baseline and curve.outcome is not Outcome.UNKNOWN
    ]
    crossing = [pair for pair in curves if pair[1].outcome is Outcome.CROSSES]
    if len(crossing) <= MOST_SINGLE_SENTENCES:
        single = [
            Finding(
                _about(group),
                f"{words.label(curve.implementation)} {outcome(group, curve, baseline)} "
                f"for {words.label(group.name)}.",
            )
            for group, curve in crossing
        ]
        flat = [pair for pair in curves if pair[1].outcome is not Outcome.CROSSES]
        return single + _summed(flat, baseline)
    return _summed(curves, baseline)


def _crossing(group: Group, crossing: Crossing, baseline: str) -> str:
    where = position(group, crossing.position)
    side = "below" if crossing.faster_below else "above"
    text = f"beats {baseline} {side} {where}" + (" density" if group.is_density else "")
    if crossing.low is None or crossing.high is None:
        return f"{text} (band {band(group, crossing)}: one side is not told apart from {baseline})"
    return f"{text} (99 % band {band(group, crossing)})"


def _level(group: Group, curve: Curve, baseline: str) -> str:
    parts: dict[str, list[str]] = {
        "faster": [],
        "slower": [],
        f"not told apart from {baseline}": [],
    }
    faster, slower, level = parts.values()
    for point in curve.points:
        if point.ratio is not None:
            interval = point.ratio.interval
            chosen = faster if interval.high < 1 else slower if interval.low > 1 else level
            chosen.append(position(group, point.position))
    said = [f"{verb} at {words.listed(places)}" for verb, places in parts.items() if places]
    return f"no crossing: {', '.join(said)}"


def _about(group: Group) -> str:
    return f"{group.phase}, {group.setting.title}"


def _summed(curves: list[tuple[Group, Curve]], baseline: str) -> list[Finding]:
    """One sentence for each implementation, phase and setting, over all groups by density."""
    kinds: dict[tuple[str, str, bool], list[tuple[Group, Curve]]] = {}
    for group, curve in curves:
        key = (_about(group), curve.implementation, group.is_density)
        kinds.setdefault(key, []).append((group, curve))
    return [
        Finding(about, f"{words.label(name)} {_sum_of(members, words.label(baseline))}.")
        for (about, name, _), members in kinds.items()
    ]


def _sum_of(members: list[tuple[Group, Curve]], baseline: str) -> str:
    noun = axis(members[0][0])
    parts = []
    for faster_below, side in ((True, "below"), (False, "above")):
        places = sorted(
            (crossing.position, group.name)
            for group, curve in members
            for crossing in curve.crossings
            if crossing.faster_below is faster_below
        )
        if places:
            group = members[0][0]
            values = [place for place, _ in places]
            parts.append(
                f"beats {baseline} {side} {position(group, words.median(values))} {noun} in the "
                f"median over {words.count(len(places), 'crossing')}, between "
                f"{position(group, values[0])} ({words.label(places[0][1])}) and "
                f"{position(group, values[-1])} ({words.label(places[-1][1])})"
            )
    verbs = {
        Outcome.FASTER: f"is faster at every measured {noun}",
        Outcome.SLOWER: f"is slower at every measured {noun}",
        Outcome.LEVEL: f"has no clear crossing with {baseline}",
    }
    for outcome_, verb in verbs.items():
        number = sum(curve.outcome is outcome_ for _, curve in members)
        if number:
            parts.append(f"{verb} in {words.count(number, 'group')} of {len(members)}")
    return "; ".join(parts)
