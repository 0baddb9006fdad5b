import io
import re

import pytest
from rich.console import Console

from bench.cli.progress import bar_on, shown

NAME = "3d-submanifold-k3s1-c128-grid32-uniform-0.05 [bold]float32"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines_on(width):
    stream = Terminal()
    console = Console(file=stream, width=width, color_system=None, _environ={"TERM": "xterm"})
    with bar_on(console) as bar:
        bar.update(bar.add_task(NAME), completed=3, total=12)
        bar.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    return [line for line in re.split(r"[\r\n]", shown) if "3/12" in line]


def test_where_there_is_room_the_bar_has_the_whole_name_and_nothing_else():
    for line in lines_on(200):
        count, _, name = line.partition("3/12")
        assert name.strip() == "-:--:-- " + NAME
        assert not any(letter.isalpha() for letter in count)


@pytest.mark.parametrize("width", [45, 60])
def test_a_long_name_is_cut_and_the_count_and_the_time_left_are_not(width):
    found = lines_on(width)
    assert found
    assert all("3/12 -:--:-- 3d-" in line and "\N{HORIZONTAL ELLIPSIS}" in line for line in found)


def test_a_dumb_terminal_gets_lines(monkeypatch):
    stream, now = Terminal(), 1000.0
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("bench.cli.progress.monotonic", lambda: now)
    with shown() as tell:
        for done in range(3):
            tell(done, 8, f"w{done} float32")
            now += 20
    assert stream.getvalue().splitlines() == ["sparsebench: 2 of 8, about 2 min left: w2 float32"]


@pytest.mark.parametrize("forced", [False, True])
def test_a_log_gets_a_line_every_half_minute(forced, capsys, monkeypatch):
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    now = 1000.0
    monkeypatch.setattr("bench.cli.progress.monotonic", lambda: now)
    with shown() as tell:
        for done in range(9):
            tell(done, 8, f"w{done} float32")
            now += 20
    assert capsys.readouterr().err.splitlines() == [
        "sparsebench: 2 of 8, about 2 min left: w2 float32",
        "sparsebench: 4 of 8, about 80 s left: w4 float32",
        "sparsebench: 6 of 8, about 40 s left: w6 float32",
    ]


def test_what_an_earlier_run_did_does_not_shorten_the_time_left(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("bench.cli.progress.monotonic", lambda: now)
    with shown() as tell:
        for done in (91, 92, 93):
            now += 40
            tell(done, 100, "w float32")
    assert capsys.readouterr().err.splitlines() == [
        "sparsebench: 91 of 100: w float32",
        "sparsebench: 92 of 100, about 5 min left: w float32",
        "sparsebench: 93 of 100, about 5 min left: w float32",
    ]


def test_a_log_of_what_is_over_in_half_a_minute_stays_empty(capsys):
    with shown() as tell:
        tell(1, 2, NAME)
    assert capsys.readouterr().err == ""
