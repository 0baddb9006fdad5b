"""What every pytest in the environment loads: the plug-in, unless a bench.py hides its package.

`python -m pytest` looks in the working directory first, and a project may well have a bench.py.
"""

from importlib.util import find_spec
from pathlib import Path


def hidden_by() -> str:
    """What `import bench` would find in place of this project's package; empty where it finds that."""
    own = Path(__file__).resolve().parent / "bench"
    found = find_spec("bench")
    places = [] if found is None else [*(found.submodule_search_locations or [found.origin or ""])]
    return "" if own in [Path(each).resolve() for each in places] else (*places, "nothing")[0]


HIDDEN_BY = hidden_by()

if HIDDEN_BY:

    def pytest_report_header() -> str:
        """Say why `--benchmark` is missing."""
        return f"sparsebench is off: {HIDDEN_BY} hides its package `bench`"

else:
    pytest_plugins = ["bench.pytest_plugin"]
