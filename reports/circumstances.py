"""What else than the code differs between two runs of one machine, in words."""

import math
import re
from collections import Counter

from bench.baseline import BASELINE
from bench.comparison import Changes
from bench.phases import HEADLINE
from bench.results.schema import Header, Rate
from bench.statistics.intervals import DEAD_BAND, Interval, geometric_mean
from reports import words
from reports.conditions import slowed

MOMENTARY = {"load before the run", "gpu before the run", "gpu clocks read"}
"""Facts that differ between any two runs."""
MOMENTARY_CLOCK = re.compile(r"MHz (now|of the memory)$")
OWN = "sparsebench "
"""How this project's version begins among the libraries': it is what is compared."""
DIGEST = re.compile(r"[0-9a-f]{8,}")
"""Of sources, in an implementation's version: these are what is compared, too."""
SEPARATOR = re.compile(r"[;,] ")
RATES_DIFFER = 1.1
BASELINE_MOVED = math.log(1.03)


def circumstances(changes: Changes) -> list[str]:
    """What changed on the machine, whether the baseline moved too, and how a GPU fared in each run."""
    sides = {"base": changes.base, "head": changes.head}
    held = [f"{side}: {doubt}" for side, run in sides.items() for doubt in slowed(run.units)]
    if not changes.compared:
        return held
    base, head = changes.base.header, changes.head.header
    return [
        *_baseline(changes),
        *_facts(base, head),
        *_versions(changes),
        *_rates(base, head),
        *held,
    ]


def _baseline(changes: Changes) -> list[str]:
    """Say so if the baseline moved, and half of the others or more in the same direction."""
    others = _means(changes)
    mean = others.pop(BASELINE, None)
    if mean is None or mean.low <= 1 <= mean.high:
        return []
    shift = math.log(mean.estimate)
    likewise = sum(
        math.copysign(1, shift) * math.log(other.estimate) > DEAD_BAND for other in others.values()
    )
    if abs(shift) <= BASELINE_MOVED or 2 * likewise < len(others):
        return []
    moved = f"{words.number(math.exp(abs(shift)))} times as {'slow' if shift > 0 else 'fast'}"
    told = (
        f"the baseline itself, {BASELINE}, became {moved}: the machine or torch may be what changed; "
        f"`sparsebench ab` measures in turn"
    )
    return [told]


def _means(changes: Changes) -> dict[str, Interval]:
    """Geometric mean of each implementation's ratios, over the headline phases if there are any."""
    cells = [cell for cell in changes.compared if cell.phase in HEADLINE] or changes.compared
    ratios: dict[str, list[Interval]] = {}
    for cell in cells:
        if cell.ratio is not None:
            ratios.setdefault(cell.implementation, []).append(cell.ratio.interval)
    return {name: geometric_mean(own) for name, own in ratios.items()}


def _facts(base: Header, head: Header) -> list[str]:
    """What both tell of the machine, and tell differently."""
    before, after = base.machine.facts, head.machine.facts
    found = []
    for topic in before:
        if topic in after and topic not in MOMENTARY:
            gone, come = _differences(before[topic], after[topic])
            if gone or come:
                found.append(_both(words.label(topic), words.listed(gone), words.listed(come)))
    return found


def _differences(before: str, after: str) -> tuple[list[str], list[str]]:
    """The parts of a fact that only one of two runs has."""
    old, new = (
        Counter(
            part
            for part in SEPARATOR.split(text)
            if not part.startswith(OWN) and not MOMENTARY_CLOCK.search(part)
        )
        for text in (before, after)
    )
    return _told(old - new), _told(new - old)


def _told(parts: Counter[str]) -> list[str]:
    return [words.label(part, words.LONGEST_TITLE) for part in parts.elements()]


def _versions(changes: Changes) -> list[str]:
    """Versions of the libraries that implementations call, where the machine's facts lack them."""
    base, head = changes.base.header, changes.head.header
    before, after = (
        {each.name: each.version for each in run.implementations} for run in (base, head)
    )
    libraries = (run.machine.facts.get("libraries", "") for run in (base, head))
    known = {library.partition(" ")[2] for gone in _differences(*libraries) for library in gone}
    names: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys(cell.implementation for cell in changes.compared):
        both = before.get(name, ""), after.get(name, "")
        old, new = map(_libraries, both)
        if (old ^ new) - known:
            names.setdefault(both, []).append(words.label(name))
    return [_both(words.listed(own), *map(words.label, both)) for both, own in names.items()]


def _libraries(version: str) -> set[str]:
    """An implementation's version without the digests of its sources."""
    return {part for part in version.split() if not DIGEST.fullmatch(part)}


def _rates(base: Header, head: Header) -> list[str]:
    """Limits of the machine that were measured to be far apart."""
    after = {(rate.device, rate.dtype): rate for rate in head.machine.rates}
    return [
        told
        for rate in base.machine.rates
        if (other := after.get((rate.device, rate.dtype))) is not None
        for told in _rate(rate, other)
    ]


def _rate(base: Rate, head: Rate) -> list[str]:
    pairs = {
        ("matrix products", " multiply-adds/s"): (
            base.multiply_adds_per_second,
            head.multiply_adds_per_second,
        ),
        ("copies", "B/s"): (base.bytes_per_second, head.bytes_per_second),
    }
    place = f"in {words.label(base.dtype)} on {words.label(base.device)}"
    return [
        _both(f"{what} {place}", *(words.rate(own, unit) for own in both))
        for (what, unit), both in pairs.items()
        if max(both) > RATES_DIFFER * min(both)
    ]


def _both(what: str, base: str, head: str) -> str:
    return f"{what}: {base or 'nothing'} in the base, {head or 'nothing'} in the head"
