from dataclasses import replace

import msgspec
import pytest

from bench.background import Background
from bench.errors import DataError, UserError
from bench.results import accuracy
from bench.results.accuracy import AccuracyRun, Epoch, Published, TrainingSettings
from bench.results.schema import Machine


def epoch(number, test_error):
    return Epoch(number, 0.1, 1.0, 0.5, 1.0, test_error, 10.0, 1.0, 9.0, 2.0)


def run(**changes):
    settings = TrainingSettings(
        experiment="x",
        version="v",
        small=False,
        implementation="gather",
        implementation_version="2",
        background=Background.ZERO,
        dtype="float32",
        device="cpu",
        seed=0,
        epochs=3,
    )
    given = {
        "id": "1",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T01:00:00+00:00",
        "command": ("sparsebench", "train", "x"),
        "commit": "abc",
        "machine": Machine("m", {}),
        "settings": settings,
        "description": "",
        "definition": {},
        "parameters": 1,
        "train_samples": 1,
        "test_samples": 1,
        "first_losses": (0.1 + 0.2,),
        "epochs": (epoch(1, 0.3), epoch(2, 0.1), epoch(3, 0.2)),
        "also_tested": {},
        "resumed": 0,
        "weights_sha256": "",
        "checkpoint_sha256": "",
        "published": (Published(1.5, "someone"),),
    }
    return AccuracyRun(**(given | changes))


def test_joules_of_a_run_are_known_where_those_of_every_epoch_are():
    counted = [replace(each, joules=100.0 * each.number) for each in run().epochs]
    assert run(epochs=tuple(counted)).joules == 600
    assert run(epochs=(*counted[:2], run().epochs[2])).joules is None
    assert run().joules is None


def test_a_run_comes_back_as_it_was_to_the_last_bit(tmp_path):
    path = tmp_path / "deep" / "run.json"
    accuracy.write(run(), path)
    assert accuracy.load(path) == run()
    assert msgspec.json.decode(path.read_bytes())["format"] == "sparsebench-accuracy"


def test_a_file_from_before_broken_samples_were_named_loads(tmp_path):
    path = tmp_path / "run.json"
    older = msgspec.to_builtins(run())
    del older["left_out"]
    path.write_bytes(msgspec.json.encode(older))
    assert accuracy.load(path) == run(left_out=())


def test_the_last_epoch_counts_and_not_the_best():
    assert run().error_percent == 20.0


def test_time_to_an_error_is_the_training_before_it_was_first_reached():
    assert run().seconds_to(10.0) == 20.0
    assert run().seconds_to(9.0) is None
    assert run().train_seconds == 30.0


def test_a_run_without_all_of_its_epochs_cannot_be_made():
    with pytest.raises(ValueError, match="3 epochs has 1"):
        run(epochs=(epoch(1, 0.1),))


def test_a_run_file_is_written_once(tmp_path):
    accuracy.write(run(), tmp_path / "a.json")
    with pytest.raises(UserError, match="written once"):
        accuracy.write(run(), tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot write"):
        accuracy.write(run(), tmp_path / "a.json" / "b.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON at all"),
        (b"[]", "not an accuracy run file"),
        (b'{"format": "sparsebench-run", "schema": 1}', "does not say"),
        (b'{"format": "sparsebench-accuracy", "schema": 99}', "update sparsebench"),
        (b'{"format": "sparsebench-accuracy"}', "no schema version"),
        (b'{"format": "sparsebench-accuracy", "schema": 1}', "is damaged"),
    ],
)
def test_what_is_no_run_file_is_one_line(content, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        accuracy.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_run_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        accuracy.load(tmp_path / "a.json")
