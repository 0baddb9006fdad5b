"""One workload with all its implementations, measured by a worker as a command of its own."""

import subprocess
import sys
from collections.abc import Sequence

from bench.errors import UserError
from bench.temporary import TemporaryFolder


def measure_unit(suite: str, workload: str, options: Sequence[str]) -> bytes:
    """Run one workload as a command and return its run file; called on a worker.

    Raises:
        UserError: if the command refuses.
    """
    with TemporaryFolder("sparsebench-unit-") as folder:
        target = folder / "unit.json"
        command = [sys.executable, "-m", "bench", "run", suite, "--workload", workload, "--wait"]
        done = subprocess.run(  # noqa: S603  # our own command
            [*command, *options, "-o", str(target)], capture_output=True, text=True, check=False
        )
        if not target.exists():
            words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"{workload}: {words[-1]}")
        return target.read_bytes()
