"""How a GPU fared while it measured, in words."""

from collections import Counter
from collections.abc import Iterable

from bench.results.schema import Unit
from reports import words


def slowed(units: Iterable[Unit]) -> list[str]:
    """What kept a GPU's clock down while units were measured, and how often."""
    told = [unit.gpu for unit in units if unit.gpu is not None]
    looks = sum(gpu.looks for gpu in told)
    counts: Counter[str] = Counter()
    for gpu in told:
        counts.update(gpu.slowed)
    return [
        f"the GPU's clock was held down by {words.label(reason)} at {count:,} of "
        f"{words.count(looks, 'look')}"
        for reason, count in counts.most_common()
    ]
