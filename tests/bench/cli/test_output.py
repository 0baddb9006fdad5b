import re

import pytest

from bench.cli.output import print_table

NAME = "3d-submanifold-k3s1-c128-grid32-uniform-0.05"
WORDS = (
    "many characters that say at length what is the matter with it and how to mend it, if at all"
)
ROWS = [
    {"name": NAME, "milliseconds": 12.25, "why": WORDS},
    {"name": "short", "milliseconds": 3, "why": "[red]never markup[/red]"},
]


def shown(capsys, rows=ROWS):
    print_table("Title", rows)
    return capsys.readouterr().out


@pytest.mark.parametrize("forced", [False, True])
def test_in_a_pipe_every_row_is_one_line(forced, capsys, monkeypatch):
    if forced:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = re.sub(r"\x1b\[[0-9;]*m", "", shown(capsys)).splitlines()[4:]
    assert [re.split("   +", row.strip()) for row in rows if row.strip()] == [
        [NAME, "12.25", WORDS],
        ["short", "3", "[red]never markup[/red]"],
    ]


def test_where_columns_are_counted_names_and_numbers_are_whole_and_words_fold(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = shown(capsys).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"  {NAME}   12.25  ") for line in lines)
    assert not any(WORDS in line for line in lines)


CHOICES = [
    {
        "name": NAME,
        "forward": "gather up to 50 % (2.9-84x), dense at 100 %",
        "train_step": "gather (2.4-45x), whatever the density",
    }
]


def folded(capsys):
    lines = shown(capsys, CHOICES).splitlines()[4:]
    return [re.split("   +", line.strip()) for line in lines if line.strip()]


def test_columns_of_text_share_the_room_that_names_leave(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "92")
    assert folded(capsys) == [
        [NAME, "gather up to 50 %", "gather (2.4-45x),"],
        ["(2.9-84x), dense at", "whatever the"],
        ["100 %", "density"],
    ]


def test_names_fold_after_hyphens_where_else_words_would_be_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "64")
    assert folded(capsys)[:2] == [
        ["3d-submanifold-k3s1-c128-grid32-", "gather up", "gather"],
        ["uniform-0.05", "to 50 %", "(2.4-45x),"],
    ]


@pytest.mark.parametrize("columns", [20, 40, 60, 100])
def test_nothing_is_cut_off_however_few_columns_there_are(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [{str(number): "ABCDEFGHIJKLMNO"[: 3 + 4 * number] for number in range(4)}]
    text = shown(capsys, rows)
    for letter, count in zip("ADHL", (4, 3, 2, 1), strict=True):
        assert text.count(letter) == count


def test_a_title_is_not_folded_to_the_width_of_a_narrow_table(capsys):
    print_table("forward, float32, milliseconds (median)", [{"workload": "w"}])
    assert capsys.readouterr().out.startswith("forward, float32, milliseconds (median)\n")
