"""Damaged input is read, or answered by one line; what once was not is tried again."""

import random
from pathlib import Path

import pytest

from bench.errors import DataError
from tools.fuzz import fault, main, mutated, targets

CORPUS = Path(__file__).parent / "corpus"
EXECUTIONS = 1_500


@pytest.mark.parametrize("name", targets())
def test_a_reader_survives_damaged_input(name):
    read, seeds = targets()[name]
    chance = random.Random(1)  # noqa: S311
    for seed in seeds:
        assert fault(read, seed) is None
        read(seed)  # the seeds themselves are whole
    found = [fault(read, mutated(seeds, chance)) for _ in range(EXECUTIONS)]
    assert set(found) == {None}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*-*")), ids=lambda path: path.name)
def test_what_was_found_once_stays_mended(path):
    read, _ = targets()[path.name.partition("-")[0]]
    assert fault(read, path.read_bytes()) is None


def test_mutations_reach_both_what_is_read_and_what_is_refused():
    read, seeds = targets()["recording"]
    chance = random.Random(2)  # noqa: S311
    outcomes = set()
    for _ in range(300):
        try:
            read(mutated(seeds, chance))
            outcomes.add("read")
        except DataError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_reader_that_breaks_is_found_and_kept(tmp_path, monkeypatch, capsys):
    def broken(data):
        if b"\0" in data:
            raise ValueError("a NUL")

    monkeypatch.setattr("tools.fuzz.targets", lambda: {"ply": (broken, [b"ply"])})
    assert main(["ply", "--executions", "300", "--keep", str(tmp_path)]) == 1
    assert any(b"\0" in path.read_bytes() for path in tmp_path.iterdir())
    assert "ValueError: a NUL" in capsys.readouterr().out
    assert fault(lambda _: (_ for _ in ()).throw(DataError("two\nlines")), b"") is not None
