import errno
import json
import os
import resource
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.errors import DataError, UserError
from bench.phases import Phase
from bench.results import store
from bench.results.schema import (
    SCHEMA,
    Cell,
    Header,
    Machine,
    Run,
    Samples,
    Settings,
    Status,
    Timing,
    Unit,
    Work,
    WorkloadRecord,
)
from bench.results.store import Journal, load, merge, write

GOLDEN = Path(__file__).parent / "golden" / "run-schema-1.json"
SAMPLES = Samples(0, 4, ((2000, 2100), (1900,)), ((2500, 2600), (2400,)), (1,), "precise")
OK = Cell(
    workload="w0",
    workload_version="abc",
    implementation="dense",
    implementation_version="2.13",
    phase=Phase.FORWARD,
    dtype="float32",
    device="cpu",
    status=Status.OK,
    verified="dense",
    work=Work(10, 100, 1000),
    peak_bytes=4096,
    timing=Timing("perf_counter_ns", (SAMPLES, replace(SAMPLES, process=1))),
)
FAILED = replace(OK, implementation="gather", status=Status.ERROR, reason="boom", timing=None)


def unit(name="w0", dtype="float32", suite="quick", peak=4096):
    record = WorkloadRecord(
        name=name,
        version="abc",
        suite=suite,
        group="g",
        position=0.5,
        batch_size=2,
        grid_size=(4, 5),
        channels=3,
        output_channels=5,
        sites=20,
        density=0.5,
        output_sites=20,
        neighbours=1.5,
        definition={"seed": 0, "network": {"layers": [1, 2.5, None, "Größe"]}},
    )
    cells = [replace(c, workload=name, dtype=dtype, peak_bytes=peak) for c in (OK, FAILED)]
    return Unit(record, tuple(cells), {"wall": 1.25})


def header(machine="box", suites=("quick",), planned=("w0", "w1")):
    return Header(
        id="0123456789ab",
        started="2026-11-21T02:40:42+00:00",
        command=("sparsebench", "run", "quick"),
        commit="cb7721f24158",
        suites=suites,
        machine=Machine(machine, {"processor": "a"}, (), ("busy",)),
        settings=Settings(0.5, 0.005, 2, 1, 0, 120.0, (Phase.FORWARD,)),
        implementations=(),
        planned=planned,
    )


def run(*units, finished="2026-11-21T03:00:00+00:00", **fields):
    return Run(header(**fields), units or (unit(), unit("w1")), finished)


def refusal(call, *arguments, kind=DataError):
    with pytest.raises(kind) as refused:
        call(*arguments)
    message = str(refused.value)
    assert "\n" not in message
    return message


def names_in(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "run.json"


def test_a_run_comes_back_as_it_was_written(target):
    write(run(), target)
    assert load(target) == run()
    assert names_in(target.parent) == ["run.json"]


def test_a_run_file_is_plain_json_that_says_what_it_is(target):
    write(run(), target)
    document = json.loads(target.read_text())
    assert (document["format"], document["schema"]) == ("sparsebench-run", SCHEMA)
    assert document["units"][0]["cells"][0]["timing"]["processes"][0]["rounds"][0] == [2000, 2100]


@pytest.mark.parametrize("content", [b"", b"precious"], ids=["empty", "full"])
def test_a_file_that_exists_is_never_touched(target, content):
    target.write_bytes(content)
    assert f"{target} exists" in refusal(write, run(), target, kind=UserError)
    assert target.read_bytes() == content
    assert names_in(target.parent) == ["run.json"]


def test_a_run_that_cannot_be_encoded_leaves_nothing_behind(target):
    broken = replace(run(), finished=object())
    with pytest.raises(TypeError):
        write(broken, target)
    assert names_in(target.parent) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    target = tmp_path / "missing" / "run.json"
    assert f"cannot write {target}" in refusal(write, run(), target, kind=UserError)


def test_the_golden_file_stays_readable():
    golden = load(GOLDEN)
    assert golden.schema == 1
    assert golden.header.id == "5e9c177bccaa"
    assert golden.header.machine.rates[0].dtype == "float32"
    assert golden.header.machine.doubts == (
        "other programs used 2.0 processors when the run started",
    )
    assert golden.header.settings.phases == (Phase.FORWARD,)
    assert [record.name for record in golden.header.implementations] == ["gather", "dense", "wrong"]
    assert golden.header.implementations[1].starts_dense
    (workload,) = golden.workloads
    assert (workload.version, workload.sites, workload.grid_size) == ("b775ea7f63ca", 922, (96, 96))
    gather, dense, wrong = golden.cells
    assert gather.key == (workload.name, "gather", Phase.FORWARD, "float32", "cpu")
    assert gather.verified == "all windows"
    assert [samples.calls for samples in dense.timing.processes] == [1, 1]
    assert dense.timing.processes[0].disturbed == (0, 1)
    assert all(len(samples.rounds) == 3 for samples in gather.timing.processes)
    assert (wrong.status, wrong.timing) == (Status.INCORRECT, None)
    assert wrong.reason.startswith("first call: output is wrong in 29,463 of 29,504 values")
    assert golden.units[0].seconds["oracle"] > 0


def only_keys_of(document, other):
    """A JSON document without the keys that another one lacks in the same place."""
    if isinstance(document, dict) and isinstance(other, dict):
        return {key: only_keys_of(document[key], other[key]) for key in document if key in other}
    if isinstance(document, list) and isinstance(other, list) and len(document) == len(other):
        return [only_keys_of(*pair) for pair in zip(document, other, strict=True)]
    return document


def test_the_golden_file_written_again_says_the_same_and_perhaps_more(target):
    write(load(GOLDEN), target)
    golden = json.loads(GOLDEN.read_bytes())
    assert only_keys_of(json.loads(target.read_bytes()), golden) == golden


def test_fields_that_a_later_version_adds_are_passed_over(target):
    document = json.loads(GOLDEN.read_bytes())
    document["header"]["weather"] = "fair"
    target.write_text(json.dumps(document))
    assert load(target) == load(GOLDEN)


def test_a_file_truncated_anywhere_is_refused_with_its_path(target):
    write(run(), target)
    whole = target.read_bytes()
    for length in range(0, len(whole), 50):
        target.write_bytes(whole[:length])
        assert str(target) in refusal(load, target)


def test_a_newer_schema_is_refused_with_both_numbers(target):
    document = json.loads(GOLDEN.read_bytes()) | {"schema": SCHEMA + 1, "units": "another thing"}
    target.write_text(json.dumps(document))
    message = refusal(load, target)
    assert message.startswith(f"{target} has schema {SCHEMA + 1}, newer than the {SCHEMA}")
    assert "update sparsebench" in message


@pytest.mark.parametrize("schema", [0, -1])
def test_a_file_without_a_schema_version_is_refused(target, schema):
    target.write_text(json.dumps(json.loads(GOLDEN.read_bytes()) | {"schema": schema}))
    assert "has no schema version" in refusal(load, target)


FOREIGN = {
    "object": b"{}",
    "list": b"[1, 2]",
    "null": b"null",
    "number": b"3",
    "text": b'"sparsebench-run"',
    "pytest-benchmark": b'{"machine_info": {}, "benchmarks": [], "version": "5.3.1"}',
    "another format": b'{"format": "benchspec", "schema": 1}',
    "format of another type": b'{"format": 7, "schema": 1}',
    "schema of another type": b'{"format": "sparsebench-run", "schema": "1"}',
    "empty": b"",
    "no JSON": b"hello",
    "binary": bytes(range(256)),
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins",
    "UTF-16": '{"format": "sparsebench-run"}'.encode("utf-16"),
    "Latin-1": b'{"format": "sparsebench-run\xff"}',
    "nested without end": b'{"x":' + b"[" * 200_000,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_with_its_path(target, content):
    target.write_bytes(content)
    assert str(target) in refusal(load, target)


def set_in(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    document[last] = value


CELL = ("units", 0, "cells", 0)
WRONG = {
    "units of another type": (("units",), {}),
    "a cell without its fields": (CELL, {"workload": "w0"}),
    "an unknown status": ((*CELL, "status"), "fine"),
    "an unknown phase": ((*CELL, "phase"), "sideways"),
    "times beside a failure": ((*CELL, "status"), "incorrect"),
    "ok without times": ((*CELL, "timing"), None),
    "ok without verification": ((*CELL, "verified"), ""),
    "a duration in words": ((*CELL, "timing", "processes", 0, "rounds", 0, 0), "fast"),
    "a fractional duration": ((*CELL, "timing", "processes", 0, "rounds", 0, 0), 0.5),
    "a duration of zero": ((*CELL, "timing", "processes", 0, "rounds", 0, 0), 0),
    "no rounds": ((*CELL, "timing", "processes", 0, "rounds"), []),
    "no calls": ((*CELL, "timing", "processes", 0, "calls"), 0),
    "no processes": ((*CELL, "timing", "processes"), []),
    "a grid size in words": (("units", 0, "workload", "grid_size"), "4x5"),
    "a machine of another type": (("header", "machine"), "box"),
}


@pytest.mark.parametrize(("path", "value"), WRONG.values(), ids=WRONG)
def test_a_value_of_the_wrong_kind_is_refused_with_file_and_place(target, path, value):
    document = json.loads(msgspec.json.encode(run()))
    set_in(document, path, value)
    target.write_text(json.dumps(document))
    message = refusal(load, target)
    assert message.startswith(f"{target} is damaged")
    assert "$." in message


def test_a_field_that_is_missing_is_named(target):
    document = json.loads(GOLDEN.read_bytes())
    del document["header"]["machine"]
    target.write_text(json.dumps(document))
    assert "`machine`" in refusal(load, target)


def test_a_missing_file_and_a_folder_are_refused_with_their_path(tmp_path):
    assert f"cannot read {tmp_path / 'nowhere'}" in refusal(load, tmp_path / "nowhere")
    assert f"cannot read {tmp_path}" in refusal(load, tmp_path)


def test_a_file_too_large_to_be_a_run_is_not_read(target, monkeypatch):
    write(run(), target)
    monkeypatch.setattr(store, "LARGEST_FILE_BYTES", 100)
    assert f"{target} is larger than 100 bytes" in refusal(load, target)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "scratch.json"


def only_data_errors(path, content):
    path.write_bytes(content)
    refused = ""
    try:
        load(path)
    except DataError as error:
        refused = str(error)
    assert not refused or str(path) in refused
    assert "\n" not in refused


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.binary(max_size=200))
@example(b'{"format": "sparsebench-run", "schema": 1, "x": "\xff"}')
@example(b'{"format": "sparsebench-run", "schema": 1, "x": ' + b"[" * 200_000)
def test_arbitrary_bytes_raise_nothing_but_a_data_error(scratch, content):
    only_data_errors(scratch, content)
    only_data_errors(scratch.with_name("run.json.partial"), content + b"\n")


@given(JSON)
def test_arbitrary_json_raises_nothing_but_a_data_error(scratch, document):
    envelope = {"format": "sparsebench-run", "schema": 1}
    for content in (document, envelope | {"header": document}, envelope | {"units": [document]}):
        only_data_errors(scratch, json.dumps(content).encode())


@given(st.data())
def test_a_run_file_with_a_few_bytes_changed_raises_nothing_but_a_data_error(scratch, data):
    content = bytearray(msgspec.json.encode(run()))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    only_data_errors(scratch, bytes(content))


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


def test_merging_keeps_every_workload_and_the_later_of_two():
    first = run(unit("w0", peak=1), unit("w1", peak=1))
    second = run(unit("w1", peak=2), unit("w2", peak=2), planned=("w1", "w2"))
    merged = merge([first, second])
    assert [each.workload.name for each in merged.units] == ["w0", "w1", "w2"]
    assert [each.cells[0].peak_bytes for each in merged.units] == [1, 2, 2]
    assert merged.header.planned == ("w0", "w1", "w2")


def test_merging_keeps_element_types_and_suites_apart():
    merged = merge(
        [
            run(unit(dtype="float32")),
            run(unit(dtype="bfloat16")),
            run(unit(suite="layers"), suites=("layers",)),
        ]
    )
    assert len(merged.units) == 3
    assert merged.header.suites == ("quick", "layers")


def test_merging_keeps_the_later_end_where_all_have_one():
    first, second = run(finished="2026-11-21"), run(finished="2026-11-22")
    assert merge([second, first]).finished == "2026-11-22"
    assert not merge([first, run(finished="")]).finished


def test_merging_runs_of_different_machines_is_refused_with_their_names():
    message = refusal(merge, [run(machine="laptop"), run(machine="server")], kind=UserError)
    assert "laptop; server" in message


def test_merging_nothing_is_refused():
    assert "no run was given" in refusal(merge, [], kind=UserError)


def test_merging_one_run_changes_nothing():
    assert merge([run()]) == run()


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_cell_that_is_not_ok_holds_no_time_and_gives_a_reason(status):
    with pytest.raises(ValueError, match=f"status {status}"):
        replace(OK, status=status, reason="why")
    with pytest.raises(ValueError, match="must give a reason"):
        replace(OK, status=status, timing=None)
    assert replace(OK, status=status, timing=None, reason="why").timing is None


def test_a_cell_that_is_ok_holds_a_time_and_says_how_it_was_verified():
    with pytest.raises(ValueError, match="timing False"):
        replace(OK, timing=None)
    with pytest.raises(ValueError, match="how it was verified"):
        replace(OK, verified="")


def test_samples_need_calls_rounds_and_a_sample_in_each():
    for fields in (
        {"calls": 0},
        {"calls": -1},
        {"rounds": ()},
        {"rounds": ((),)},
        {"rounds": ((5,), ())},
    ):
        with pytest.raises(ValueError, match="at least one call, one round"):
            replace(SAMPLES, **fields)


@pytest.mark.parametrize(
    "rounds",
    [
        ((0,),),
        ((5, -1),),
        pytest.param(((5,), (0,))),
    ],
    ids=str,
)
def test_durations_are_positive(rounds):
    with pytest.raises(ValueError, match="durations must be positive"):
        Samples(0, 1, rounds)


def test_a_timing_needs_a_process():
    with pytest.raises(ValueError, match="at least one process"):
        Timing("clock", ())


def test_a_run_lists_its_cells_in_order_and_each_workload_once():
    whole = run(unit("w0"), unit("w1"), unit("w0", dtype="bfloat16"))
    assert [cell.workload for cell in whole.cells] == ["w0", "w0", "w1", "w1", "w0", "w0"]
    assert [workload.name for workload in whole.workloads] == ["w0", "w1"]


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


def test_what_a_kill_left_behind_under_a_temporary_name_hinders_nobody(target):
    for number in range(3):
        target.with_name(f".run.json.{os.getpid() + number}.tmp").write_bytes(b"half")
    write(run(), target)
    assert load(target) == run()


def test_where_there_are_no_hard_links_a_file_is_still_whole_and_written_once(target, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(store.os, "link", link)
    write(run(), target)
    assert load(target) == run()
    assert "written once" in refusal(write, run(unit()), target, kind=UserError)
    assert load(target) == run()
    assert names_in(target.parent) == ["run.json"]


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
        os.seteuid(65534)
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
