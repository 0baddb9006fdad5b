"""Temporary folders, and the interruption that Python's own survive their user by."""

from pathlib import Path

import pytest

from bench.temporary import TemporaryFolder


@pytest.fixture
def around(tmp_path, monkeypatch):
    """The folder in which temporary ones are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_for_a_block_and_goes_with_all_that_is_in_it(around):
    with TemporaryFolder("some-") as folder:
        (folder / "deeper").mkdir()
        (folder / "deeper" / "file").write_text("words")
        assert folder.parent == around
        assert folder.name.startswith("some-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(around.iterdir()) == []


def test_who_is_interrupted_leaves_none(around):
    with pytest.raises(KeyboardInterrupt), TemporaryFolder("some-"):
        raise KeyboardInterrupt
    assert list(around.iterdir()) == []


def test_who_is_interrupted_while_it_is_made_leaves_none(around, monkeypatch):
    make = Path.mkdir

    def interrupted(path, **options):
        make(path, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), TemporaryFolder("some-"):
        pass
    assert list(around.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(around, monkeypatch):
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "taken")
    (around / "some-taken").mkdir()
    with pytest.raises(FileExistsError), TemporaryFolder("some-"):
        pass
    assert (around / "some-taken").exists()
