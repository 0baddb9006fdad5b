"""What a bar shows on a terminal, and that nothing is written where nobody is looking."""

import os
import pty
import re
import subprocess
import sys

import pytest

BARS = {
    "run": """
from bench.cli.progress import shown
from bench.measure.engine import Progress
with shown() as tell:
    tell(Progress(3, 10, "2d-[full]", "float32", 0))
""",
    "fleet": """
from bench.cli.progress import fleet_shown
from bench.fleet.dispatch import FleetProgress
with fleet_shown() as tell:
    tell(FleetProgress(3, 10, "2d-[full]", "a machine"))
""",
    "check": """
from bench.cli.progress import bar_shown
with bar_shown() as show:
    show(3, 10, "2d-[full] float32")
""",
    "train": """
from bench.cli.training_progress import shown
from bench.training.training import Report
with shown("2d-[full]", visible=True) as tell:
    tell(Report(3, 10, 0.25, 0.5))
""",
}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def written(code, error):
    return subprocess.run(
        [sys.executable, "-c", code], stderr=error, check=True, env=os.environ | {"COLUMNS": "120"}
    )


@pytest.mark.parametrize("name", BARS)
def test_a_terminal_shows_what_is_at_work_as_it_is_called(name):
    reader, writer = pty.openpty()
    written(BARS[name], writer)
    os.close(writer)
    shown = b""
    try:
        while received := os.read(reader, 1 << 16):
            shown += received
    except OSError:  # Linux's way of saying that nobody writes any more
        pass
    os.close(reader)
    words = CONTROL.sub("", shown.decode()).replace("\r", "\n").splitlines()
    last = next(line for line in reversed(words) if "3/10" in line)
    assert last.startswith("2d-[full]")
    assert "progress" not in last


@pytest.mark.parametrize("name", BARS)
def test_nothing_is_written_where_nobody_is_looking(name, tmp_path):
    with (tmp_path / "error").open("wb") as error:
        written(BARS[name], error)
    assert (tmp_path / "error").read_text() == ""
