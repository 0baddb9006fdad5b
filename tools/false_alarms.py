"""Counts the verdicts between implementations and their twins in a run file: all should be "same".

sparsebench run quick --impl gather,tests/plugins/twins.py --processes 6 -o null.json
python -m tools.false_alarms null.json
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.errors import UserError
from bench.results.store import load
from bench.statistics.intervals import ratio
from bench.statistics.verdicts import judged

TWIN = "_twin"


def main(arguments: Sequence[str]) -> int:
    """Print how many comparisons got which verdict, and every one that is not "same"."""
    parser = argparse.ArgumentParser(prog="python -m tools.false_alarms", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run file with twins")
    path = parser.parse_args(arguments).run
    try:
        _count(path)
    except UserError as error:
        print(f"false_alarms: error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _count(path: Path) -> None:
    """Count the verdicts of a run file.

    Raises:
        UserError: if it cannot be read, or holds no twins.
    """
    run = load(path)
    timings = {cell.key: cell.timing for cell in run.cells if cell.timing is not None}
    compared = []
    for key, timing in timings.items():
        workload, name, *others = key
        original = timings.get((workload, name.removesuffix(TWIN), *others))  # type: ignore[arg-type]
        found = ratio(timing, original) if name.endswith(TWIN) and original else None
        if found is not None:
            compared.append((key, found))
    if not compared:
        raise UserError(f"{path} has no times of an implementation and of its twin")
    judgements = judged([(key[2], each) for key, each in compared])
    verdicts = [(told, *pair) for told, pair in zip(judgements, compared, strict=True)]
    counts = Counter(str(found) for found, _, _ in verdicts)
    detectable = np.median([each.detectable for _, _, each in verdicts])
    print(f"{len(verdicts)} comparisons: {dict(counts)}; median detectable {detectable:.1%}")  # noqa: T201
    for told, key, each in verdicts:
        if told != "same":
            interval = each.interval
            print(  # noqa: T201
                f"{told}: {' '.join(key)}: {interval.estimate:.4f} "
                f"[{interval.low:.4f}, {interval.high:.4f}], {each.rounds} rounds"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
