import json
import os
import resource
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import header, names_in, refusal, run, unit

from bench.errors import UserError
from bench.results import store
from bench.results.schema import (
    SCHEMA,
    Run,
)
from bench.results.store import Journal, load, write


@pytest.fixture
def target(tmp_path):
    return tmp_path / "run.json"


@pytest.fixture
def journal(target):
    """A journal of a run that was killed after two units."""
    journal = Journal(target)
    journal.begin(header())
    journal.add(unit("w0"))
    journal.add(unit("w1"))
    return journal


def test_a_journal_returns_what_was_finished_and_no_end(journal):
    expected = Run(header(), (unit("w0"), unit("w1")), finished="")
    assert journal.read() == expected
    assert load(journal.path) == expected
    assert journal.path.name == "run.json.partial"


def test_a_journal_that_just_began_has_no_units(target):
    journal = Journal(target)
    journal.begin(header())
    assert journal.read() == Run(header(), ())


def test_a_journal_cut_at_any_byte_of_its_last_line_loses_that_line_only(journal):
    whole = journal.path.read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    for length in range(start, len(whole)):
        journal.path.write_bytes(whole[:length])
        assert [each.workload.name for each in journal.read().units] == ["w0"]


def test_a_journal_cut_within_its_first_line_is_refused(journal):
    whole = journal.path.read_bytes()
    for length in range(0, whole.index(b"\n") + 1, 50):
        journal.path.write_bytes(whole[:length])
        assert str(journal.path) in refusal(journal.read)


def test_a_journal_that_was_cut_can_be_gone_on_with_and_read_again(journal):
    journal.path.write_bytes(journal.path.read_bytes()[:-30])
    assert [each.workload.name for each in journal.read().units] == ["w0"]
    journal.add(unit("w1"))
    journal.add(unit("w2"))
    assert [each.workload.name for each in journal.read().units] == ["w0", "w1", "w2"]


def test_a_damaged_line_in_the_middle_of_a_journal_is_refused(journal):
    lines = journal.path.read_bytes().split(b"\n")
    lines[1] = lines[1][:-5]
    journal.path.write_bytes(b"\n".join(lines))
    assert f"{journal.path} is damaged" in refusal(journal.read)


def test_a_journal_of_a_newer_schema_is_refused(journal):
    first, rest = journal.path.read_bytes().split(b"\n", 1)
    newer = json.dumps(json.loads(first) | {"schema": SCHEMA + 1}).encode()
    journal.path.write_bytes(newer + b"\n" + rest)
    assert "update sparsebench" in refusal(journal.read)


def test_a_journal_without_a_finished_unit_is_dropped_and_no_other(journal, target):
    journal.drop_if_empty()
    assert journal.path.exists()
    other = Journal(target.with_name("other.json"))
    other.drop_if_empty()  # not even begun
    other.begin(header())
    other.drop_if_empty()
    assert not other.path.exists()


def test_finishing_a_journal_leaves_the_run_file_alone(journal, target):
    assert journal.finish(run()) == target
    assert load(target) == run()
    assert names_in(target.parent) == ["run.json"]


def test_a_journal_makes_its_folder(tmp_path):
    journal = Journal(tmp_path / "a" / "b" / "run.json")
    journal.begin(header())
    assert journal.read().header == header()


def test_a_second_journal_for_the_same_target_is_refused_with_how_to_go_on(journal, target):
    before = journal.path.read_bytes()
    message = refusal(Journal(target).begin, header(), kind=UserError)
    assert f"--resume {journal.path}" in message
    assert journal.path.read_bytes() == before


def test_a_target_that_exists_is_refused_before_anything_is_measured(target):
    write(run(), target)
    assert "written once" in refusal(Journal(target).check, kind=UserError)


def test_a_journal_in_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal(Journal(tmp_path / "file" / "run.json").begin, header(), kind=UserError)
    assert "cannot write" in message


def test_a_journal_left_beside_its_whole_run_file_is_removed(journal, target):
    whole = run()
    write(whole, target)  # and here the kill came
    assert journal.completed() == whole
    assert names_in(target.parent) == ["run.json"]
    assert journal.completed() == whole  # or it came a moment later


def test_a_run_that_is_going_on_is_not_complete(journal):
    assert journal.completed() is None
    assert journal.path.exists()


@pytest.mark.parametrize(
    "other", [run(unit("w0")), Run(replace(header(), id="ba9876543210"), run().units)]
)
def test_a_journal_beside_another_runs_file_is_kept(journal, target, other):
    write(other, target)
    assert "is another run than" in refusal(journal.completed, kind=UserError)
    assert load(target) == other
    assert len(journal.read().units) == 2


@pytest.mark.parametrize("size", [1, 7, 2**16])
def test_what_was_cut_off_is_found_from_the_end_however_long_the_journal(
    journal, monkeypatch, size
):
    monkeypatch.setattr(store, "TAIL_BYTES", size)
    journal.path.write_bytes(journal.path.read_bytes()[:-30])
    journal.add(unit("w2"))
    assert [each.workload.name for each in journal.read().units] == ["w0", "w2"]


@contextmanager
def no_file_longer_than(size):
    """A disk that is full, as far as one file is concerned; any user may have that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_finished_units_stay_readable_and_the_run_goes_on_later(journal, target):
    length = journal.path.stat().st_size
    with no_file_longer_than(length + 100):
        assert "File too large" in refusal(journal.add, unit("w2"), kind=UserError)
    with no_file_longer_than(length // 2):
        assert "File too large" in refusal(journal.finish, run(), kind=UserError)
    assert journal.path.stat().st_size == length + 100
    assert [each.workload.name for each in journal.read().units] == ["w0", "w1"]
    assert names_in(target.parent) == ["run.json.partial"]
    journal.add(unit("w2"))
    assert [each.workload.name for each in journal.read().units] == ["w0", "w1", "w2"]


@contextmanager
def nobody_special():
    """The rights of an ordinary user, whoever runs the tests."""
    is_root = os.geteuid() == 0
    if is_root:
        try:
            os.seteuid(65534)
        except OSError as error:
            pytest.skip(f"this root cannot be somebody else: {error}")
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_read_only_folder_is_one_line_and_what_lies_there_stays_readable():
    with tempfile.TemporaryDirectory() as name:  # anybody may enter the folder that this lies in
        folder = Path(name)
        journal = Journal(folder / "run.json")
        journal.begin(header())
        journal.add(unit("w0"))
        journal.path.chmod(0o644)  # whatever the umask
        folder.chmod(0o555)
        try:
            with nobody_special():
                message = refusal(Journal(folder / "other.json").begin, header(), kind=UserError)
                assert message == f"cannot write {folder / 'other.json.partial'}: Permission denied"
                assert "Permission denied" in refusal(journal.finish, run(), kind=UserError)
                assert [each.workload.name for each in journal.read().units] == ["w0"]
        finally:
            folder.chmod(0o755)
        assert names_in(folder) == ["run.json.partial"]
