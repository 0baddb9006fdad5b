import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stored_runs import names_in, refusal, run, unit

from bench.errors import DataError, UserError
from bench.phases import Phase
from bench.results import envelope
from bench.results.schema import (
    SCHEMA,
    Rate,
    Status,
)
from bench.results.store import Journal, load, merge, write

GOLDEN = Path(__file__).parent / "golden" / "run-schema-1.json"


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


def test_a_folder_that_is_not_there_is_made(tmp_path):
    target = tmp_path / "missing" / "too" / "run.json"
    write(run(), target)
    assert load(target) == run()


def test_a_folder_that_is_a_file_is_named(target):
    target.write_bytes(b"kept")
    message = refusal(write, run(), target / "run.json", kind=UserError)
    assert message == f"cannot write {target / 'run.json'}: {target} is not a folder"


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
    assert (golden.header.commits, golden.header.suite_commits) == ({}, {})
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
    monkeypatch.setattr(envelope, "LARGEST_FILE_BYTES", 100)
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


def test_what_a_kill_left_behind_under_a_temporary_name_hinders_nobody(target):
    for number in range(3):
        target.with_name(f".run.json.{os.getpid() + number}.tmp").write_bytes(b"half")
    write(run(), target)
    assert load(target) == run()


def test_where_there_are_no_hard_links_a_file_is_still_whole_and_written_once(target, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    write(run(), target)
    assert load(target) == run()
    assert "written once" in refusal(write, run(unit()), target, kind=UserError)
    assert load(target) == run()
    assert names_in(target.parent) == ["run.json"]


def test_only_who_began_a_journal_drops_it(target):
    first, second = Journal(target), Journal(target)
    first.begin(run().header)
    with pytest.raises(UserError, match="holds an unfinished run"):
        second.begin(run().header)
    second.drop_if_empty()
    assert first.path.exists()
    first.drop_if_empty()
    assert not first.path.exists()


def test_merging_keeps_every_workload_and_the_later_of_two():
    first = run(unit("w0", peak=1), unit("w1", peak=1))
    second = run(unit("w1", peak=2), unit("w2", peak=2), planned=("w1", "w2"))
    merged = merge([first, second])
    assert [each.workload.name for each in merged.units] == ["w0", "w1", "w2"]
    assert [each.cells[0].peak_bytes for each in merged.units] == [1, 2, 2]
    assert merged.header.planned == ("w0", "w1", "w2")


def test_merging_keeps_the_highest_rates_of_the_machine():
    def measured(*rates):
        found = run()
        machine = replace(found.header.machine, rates=rates)
        return replace(found, header=replace(found.header, machine=machine))

    half = Rate("cpu", "float16", 1e9, 9e9)
    merged = merge(
        [
            measured(Rate("cpu", "float32", 50e9, 10e9)),
            measured(Rate("cpu", "float32", 64e9, 8e9), half),
        ]
    )
    assert merged.header.machine.rates == (Rate("cpu", "float32", 64e9, 10e9), half)
    rates = [measured(Rate("cpu", "float32", *each)) for each in ((64e9, 8e9), (50e9, 10e9))]
    assert merge(rates).header.machine.rates == (Rate("cpu", "float32", 64e9, 10e9),)


def test_merging_keeps_devices_apart():
    on_gpu = unit(peak=2)
    on_gpu = replace(on_gpu, cells=tuple(replace(each, device="cuda") for each in on_gpu.cells))
    merged = merge([run(unit(peak=1)), run(on_gpu)])
    found = {(each.device, each.peak_bytes) for each in merged.cells}
    assert found == {("cpu", 1), ("cuda", 2)}


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


def test_merging_has_no_cell_twice_where_runs_have_other_element_types():
    both = unit(peak=2)
    both = replace(both, cells=both.cells + unit(dtype="float64", peak=2).cells)
    for earlier, later, peak in ((run(unit(peak=1)), run(both), 2), (run(both), run(unit()), 4096)):
        merged = merge([earlier, later])
        keys = [cell.key for cell in merged.cells]
        assert len(keys) == len(set(keys)) == len(both.cells)
        assert {c.peak_bytes for c in merged.cells if c.dtype == "float32"} == {peak}
        assert {c.peak_bytes for c in merged.cells if c.dtype == "float64"} == {2}


def test_merging_leaves_a_workload_that_is_measured_again_where_it_was():
    merged = merge([run(unit("w0"), unit("w1")), run(unit("w0"))])
    assert [each.workload.name for each in merged.units] == ["w0", "w1"]


def test_merging_leaves_it_there_too_where_fewer_implementations_are_measured_again():
    fewer = replace(unit("w0"), cells=unit("w0").cells[:1])
    merged = merge([run(unit("w0"), unit("w1")), run(fewer)])
    assert [each.workload.name for each in merged.units] == ["w0", "w1"]


def test_merging_keeps_a_workload_that_has_no_cells():
    bare = replace(unit("w2"), cells=())
    assert merge([run(), run(bare)]).units[2:] == (bare,)


def test_merging_keeps_what_each_workload_was_measured_with():
    first, second = run(unit("w0")), run(unit("w1"))
    longer = replace(second.header.settings, seconds=9.0)
    merged = merge([first, replace(second, header=replace(second.header, settings=longer))])
    assert merged.header.settings == first.header.settings
    assert [merged.settings_of(each) for each in merged.units] == [first.header.settings, longer]


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
