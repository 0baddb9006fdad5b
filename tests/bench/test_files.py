"""Files that are written whole or not at all."""

import os
import stat

import pytest

from bench.files import written_whole


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "file"


def write(target, content, **options):
    with written_whole(target, **options) as stream:
        stream.write(content)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_file_takes_the_place_of_the_one_before_and_its_folder_is_made(target, lasting):
    write(target, b"before", lasting=lasting)
    write(target, b"after", lasting=lasting)
    assert target.read_bytes() == b"after"
    assert list(target.parent.iterdir()) == [target]


def test_what_fails_on_its_way_leaves_the_file_before_and_nothing_else(target):
    write(target, b"before")
    with pytest.raises(TypeError), written_whole(target) as stream:
        stream.writelines([b"half", "and what no file takes"])
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


def test_what_is_to_last_is_synced_before_it_has_its_name_and_its_folder_afterwards(
    target, monkeypatch
):
    target.parent.mkdir()
    synced = []

    def note(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(("folder" if is_folder else "file", target.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write(target, b"kept")
    assert synced == []
    target.unlink()
    write(target, b"kept", lasting=True)
    assert synced == [("file", False), ("folder", True)]


def test_who_may_read_a_file_is_what_the_user_has_set(target):
    before = os.umask(0o027)
    try:
        write(target, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("letter", ["a", "\u754c"])
def test_a_name_that_fits_can_be_written_under(target, letter):
    longest = target.with_name(letter * (255 // len(letter.encode())))
    write(longest, b"kept")
    assert longest.read_bytes() == b"kept"
