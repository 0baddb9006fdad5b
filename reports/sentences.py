"""Curves in words: below which density an implementation beats the baseline."""

from statistics import median

from bench.statistics.verdicts import Verdict
from reports import words
from reports.break_even import Crossing, Curve, Group, Outcome

MOST_GROUPS = 3
"""With more groups than that in a phase and setting, they are summed up by implementation."""
LONGEST_NAME = 100
NOWHERE = "neither clearly faster nor clearly slower"


def position(group: Group, value: float) -> str:
    """An interpolated place on the axis of a group: `38 %`, or a number."""
    return words.percent(value) if group.is_density else words.number(value)


def measured_position(group: Group, value: float) -> str:
    """A measured place on the axis of a group, without trailing zeros."""
    return words.plain_percent(value) if group.is_density else words.plain(value)


def outcome(group: Group, curve: Curve, baseline: str) -> str:
    """What a curve shows, in the few words of a table."""
    if curve.is_wrong:
        return f"wrong at some {words.label(group.axis, 30)}"
    match curve.outcome:
        case Outcome.CROSSES:
            return "; ".join(_crossing(group, crossing) for crossing in curve.crossings)
        case Outcome.FASTER:
            return f"no crossing: faster at every measured {words.label(group.axis, 30)}"
        case Outcome.SLOWER:
            return f"no crossing: slower at every measured {words.label(group.axis, 30)}"
        case Outcome.LEVEL:
            return f"no crossing: {_level(group, curve) or 'not told apart anywhere'}"
        case Outcome.UNKNOWN:
            return f"no ratio to {words.label(baseline)}"


def curves_caption(groups: list[Group], baseline: str) -> str:
    """What the curves of one group show, phase by phase."""
    parts = []
    for group in groups:
        found = [
            f"{words.label(curve.implementation, 30)} "
            + " and ".join(_place(group, crossing) for crossing in curve.crossings)
            for curve in group.curves
            if curve.crossings and not curve.is_wrong
        ]
        parts.append(f"{group.phase}: {words.listed(found)}" if found else "")
    shown = [part for part in parts if part]
    if not shown:
        return f"no implementation crosses {words.label(baseline)}"
    return f"faster than {words.label(baseline)}, {'; '.join(shown)}"


def break_even_sentences(groups: list[Group], baseline: str) -> list[str]:
    """Say for what densities each implementation beats the baseline, in one phase and setting."""
    shown = [group for group in groups if group.is_density and _others(group, baseline)]
    if len(shown) <= MOST_GROUPS:
        found = [_group_sentence(group, baseline) for group in shown]
        return [sentence for sentence in found if sentence]
    by_name: dict[str, list[tuple[Group, Curve]]] = {}
    for group in shown:
        for curve in _others(group, baseline):
            by_name.setdefault(curve.implementation, []).append((group, curve))
    other = words.label(baseline)
    single = [
        f"{words.label(name)} {_summed(pairs, other)}."
        for name, pairs in by_name.items()
        if any(crossing.is_established for _, curve in pairs for crossing in curve.crossings)
    ]
    return single + _flat(by_name, other)


def _others(group: Group, baseline: str) -> list[Curve]:
    """Whose speed is worth a sentence."""
    return [
        curve for curve in group.curves if curve.implementation != baseline and not curve.is_wrong
    ]


def _group_sentence(group: Group, baseline: str) -> str:
    """Everybody in one group: who pays up to the highest density comes first, who never does last."""
    curves = _others(group, baseline)
    other = words.label(baseline)
    crossing = sorted(
        (curve for curve in curves if curve.crossings),
        key=lambda curve: -curve.crossings[0].position,
    )
    said: list[str] = []
    for curve in crossing:
        verb, write = (f" beats {other}", _crossing) if not said else ("", _brief_crossing)
        places = " and ".join(write(group, each) for each in curve.crossings)
        said.append(f"{words.label(curve.implementation)}{verb} {places}")
    always, never = (
        [words.label(curve.implementation) for curve in curves if curve.outcome is wanted]
        for wanted in (Outcome.FASTER, Outcome.SLOWER)
    )
    somewhere: dict[str, list[str]] = {}
    for curve in curves:
        if curve.outcome is Outcome.LEVEL:
            where = _level(group, curve, f" than {other}") or NOWHERE
            somewhere.setdefault(where, []).append(words.label(curve.implementation))
    parts = [
        f"{_are(always)} faster than {other} at every measured density" if always else "",
        words.listed(said) if said else "",
        *(f"{_are(names)} {where}" for where, names in somewhere.items()),
        f"{_are(never)} slower at every measured density" if never else "",
    ]
    parts = [part for part in parts if part]
    return f"For {words.label(group.name, LONGEST_NAME)}: {'; '.join(parts)}." if parts else ""


def _are(names: list[str]) -> str:
    return f"{words.listed(names)} {'is' if len(names) == 1 else 'are'}"


def _place(group: Group, crossing: Crossing) -> str:
    side = "below" if crossing.faster_below else "above"
    doubt = "" if crossing.is_established else "perhaps "
    return f"{doubt}{side} {position(group, crossing.position)}"


def _crossing(group: Group, crossing: Crossing) -> str:
    text = _place(group, crossing) + (" density" if group.is_density else "")
    return f"{text} (99{words.SPACE}% band {_band(group, crossing)})"


def _brief_crossing(group: Group, crossing: Crossing) -> str:
    """The same where a sentence has said before what the numbers are."""
    return f"{_place(group, crossing)} ({_band(group, crossing)})"


def _band(group: Group, crossing: Crossing) -> str:
    low = "open" if crossing.low is None else position(group, crossing.low)
    high = "open" if crossing.high is None else position(group, crossing.high)
    return f"{low.removesuffix(words.SPACE + '%')}{words.DASH}{high}"


def _level(group: Group, curve: Curve, than: str = "") -> str:
    """Where a curve without a crossing is clearly on one side, and where it is not; "" for nowhere."""
    places: dict[str, list[str]] = {Verdict.FASTER: [], Verdict.SLOWER: []}
    for point in curve.points:
        if point.verdict in places:
            places[point.verdict].append(measured_position(group, point.position))
    said = [f"{side}{than} at {words.listed(found)}" for side, found in places.items() if found]
    return ", ".join([*said, "elsewhere not told apart"]) if said else ""


def _flat(by_name: dict[str, list[tuple[Group, Curve]]], baseline: str) -> list[str]:
    """One sentence for each way not to cross; a crossing that is not established is one."""
    verbs = {
        Outcome.FASTER: f"faster than {baseline} at every measured density",
        Outcome.SLOWER: f"slower than {baseline} at every measured density",
        Outcome.LEVEL: f"without a clear crossing with {baseline}",
    }
    found = []
    for wanted, verb in verbs.items():
        numbers = {
            name: sum(_flat_outcome(curve) is wanted for _, curve in pairs)
            for name, pairs in by_name.items()
        }
        names = words.listed(
            f"{words.label(name)} (in {number} of {words.count(len(by_name[name]), 'group')})"
            for name, number in numbers.items()
            if number
        )
        if names:
            found.append(f"{verb[0].upper()}{verb[1:]}: {names}.")
    return found


def _flat_outcome(curve: Curve) -> Outcome:
    unsure = not any(crossing.is_established for crossing in curve.crossings)
    return Outcome.LEVEL if curve.crossings and unsure else curve.outcome


def _summed(pairs: list[tuple[Group, Curve]], baseline: str) -> str:
    """The crossings of one implementation over all groups."""
    parts = []
    for faster_below, side in ((True, "below"), (False, "above")):
        places = sorted(
            (crossing.position, group.name)
            for group, curve in pairs
            for crossing in curve.crossings
            if crossing.faster_below is faster_below and crossing.is_established
        )
        if not places:
            continue
        (first, first_name), (last, last_name) = places[0], places[-1]
        middle = words.percent(median([place for place, _ in places]))
        text = f"beats {baseline} {side} {middle} density"
        if len(places) > 1:
            text += (
                f" in the median of {len(places)} crossings: from {words.percent(first)} "
                f"({words.label(first_name)}) to {words.percent(last)} ({words.label(last_name)})"
            )
        else:
            text += f" for {words.label(first_name)}"
        parts.append(text)
    return "; ".join(parts)
