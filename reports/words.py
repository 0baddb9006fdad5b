"""Numbers, names and lists as a reader wants them."""

import math
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from bench.commits import short
from bench.statistics.intervals import Interval
from bench.statistics.verdicts import Verdict

DASH = "\N{EN DASH}"
SPACE = "\N{NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"
SIGNS = {
    Verdict.FASTER: "▼",
    Verdict.SLOWER: "▲",
    Verdict.SAME: "=",
    Verdict.AMBIGUOUS: "?",
    Verdict.MISSING: DASH,
}
"""What stands beside a verdict's word, so that colour never carries it alone."""
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
UNKNOWN = "unknown: one round"
"""What stands for an interval that a single round says nothing of."""
TOO_WIDE = "unknown: too noisy"
WIDEST = 1e4
"""Of an interval, high over low: the ends of a wider one, as of two unlike processes, say nothing."""
LARGEST_EFFECT = 10.0
LONGEST_LABEL = 60
LONGEST_TITLE = 300


def number(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:,.{min(max(0, digits - 1 - exponent), 12)}f}".replace("-", MINUS)


def moment(started: str) -> str:
    """When a run began, to the minute."""
    return f"{started[:16].replace('T', ' ')} UTC"


def plain(value: float) -> str:
    """A round number as a tick shows it, without trailing zeros."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def plain_seconds(value: float) -> str:
    """A round duration as a tick shows it: `20 ms`."""
    factor, unit = time_unit(value * 1.0001)
    return f"{plain(round(value / factor, 6))} {unit}"


def plain_percent(value: float) -> str:
    """A round share as a tick shows it: `20 %`."""
    return f"{plain(round(100 * value, 6))}{SPACE}%"


def plain_rate(value: float) -> str:
    """A round rate as a tick shows it: `20 G`."""
    factor, prefix = next((entry for entry in PREFIXES if value * 1.0001 >= entry[0]), PREFIXES[-1])
    return f"{plain(round(value / factor, 6))} {prefix}".rstrip()


def plain_bytes(value: float) -> str:
    """A round size as a tick shows it: `20 MB`."""
    return f"{plain_rate(value)}B" if value >= PREFIXES[-2][0] else f"{plain_rate(value)} B"


def power(value: float) -> str:
    """An exponent, with two digits after the point."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", MINUS)


def power_range(interval: Interval) -> str:
    """The ends of an interval of an exponent, which may be negative."""
    return f"{power(interval.low)} to {power(interval.high)}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it: `1.23 ms`."""
    factor, unit = time_unit(value)
    return f"{number(value / factor)} {unit}"


def signed_seconds(value: float) -> str:
    """A difference of durations, which noise may make negative."""
    return seconds(value) if value >= 0 else MINUS + seconds(-value)


def time_unit(value: float) -> tuple[float, str]:
    """Seconds in the unit that suits a duration, and the unit's name."""
    return next((entry for entry in UNITS if value >= entry[0]), UNITS[-1])


def seconds_range(interval: Interval) -> str:
    """The ends of an interval of a duration, in the unit of its estimate."""
    if (why := why_unknown(interval)) is not None:
        return why
    factor, _ = time_unit(interval.estimate)
    return f"{number(interval.low / factor)}{DASH}{number(interval.high / factor)}"


def ratio(value: float) -> str:
    """A ratio of times, with the sign of multiplication."""
    return f"{number(value)}{TIMES}"


def ratio_range(interval: Interval, digits: int = 3) -> str:
    """The ends of an interval of a ratio."""
    if (why := why_unknown(interval)) is not None:
        return why
    return f"{number(interval.low, digits)}{DASH}{number(interval.high, digits)}"


def why_unknown(interval: Interval) -> str | None:
    """Why the ends of an interval are not worth telling; None where they are."""
    if not interval.is_known:
        return UNKNOWN
    return TOO_WIDE if interval.high > WIDEST * interval.low else None


def effect(share: float) -> str:
    """The smallest effect that would be found, in percent, as far as that is worth a number."""
    known = share <= LARGEST_EFFECT or math.isinf(share)
    return percent(share) if known else f"over {percent(LARGEST_EFFECT, 4)}"


def percent(share: float, digits: int = 2) -> str:
    """A share in percent, the sign held to the number; without bound where it is infinite."""
    if math.isinf(share):
        return "unknown"
    return f"{number(100 * share, digits)}{SPACE}%"


def rate(value: float, unit: str) -> str:
    """A rate with its prefix: `12.3 G multiply-adds/s`."""
    factor, prefix = next((entry for entry in PREFIXES if value >= entry[0]), PREFIXES[-1])
    return f"{number(value / factor)} {prefix}{unit}"


def count(amount: int, noun: str) -> str:
    """A number of things, singular where it is one."""
    return f"{amount:,} {noun}" + ("" if amount == 1 or noun.endswith("series") else "s")


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names joined as in a sentence; beyond `most`, the number of those left out."""
    shown = list(names)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    if len(shown) <= 1:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def commit(own: str) -> str:
    """A commit as it is written, short; where there is none, that."""
    return label(short(own)) or "no commit"


@lru_cache(maxsize=4096)
def label(text: str, limit: int = LONGEST_LABEL) -> str:
    """A name from a run file, harmless to the text around it.

    Control characters and those that change the direction of what follows are written as escapes, a
    long name ends in an ellipsis, and a name with letters written from right to left is isolated.
    """
    head = text[: limit + 1]
    shown = "".join(_visible(character) for character in head[:limit])
    if len(head) > limit:
        shown = shown.rstrip() + "…"
    if any(unicodedata.bidirectional(character) in {"R", "AL"} for character in shown):
        return f"\u2068{shown}\u2069"
    return shown


def _visible(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character
