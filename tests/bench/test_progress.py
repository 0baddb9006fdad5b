import io

import pytest
from rich.console import Console

from bench.cli.progress import bar_on, shown
from bench.measure.engine import Progress

NAME = "3d-submanifold-k3s1-c128-grid32-uniform-0.05 [bold]float32"


def lines_on(width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    with bar_on(console) as bar:
        bar.update(bar.add_task(NAME), completed=3, total=12)
        bar.refresh()
    return [line for line in stream.getvalue().splitlines() if "3/12" in line]


def test_where_there_is_room_the_bar_has_the_whole_name_and_nothing_else():
    for line in lines_on(200):
        count, _, name = line.partition("3/12")
        assert name.strip() == "-:--:-- " + NAME
        assert not any(letter.isalpha() for letter in count.rpartition("K")[2])


@pytest.mark.parametrize("width", [45, 60])
def test_a_long_name_is_cut_and_the_count_and_the_time_left_are_not(width):
    found = lines_on(width)
    assert found
    assert all("3/12 -:--:-- 3d-" in line and "\N{HORIZONTAL ELLIPSIS}" in line for line in found)


def test_in_a_file_there_is_nothing(capsys):
    with shown() as tell:
        tell(Progress(1, 2, NAME, "float32", 0))
    assert capsys.readouterr().err == ""
