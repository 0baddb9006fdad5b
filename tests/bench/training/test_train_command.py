import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.results import accuracy
from bench.training import checkpoint as checkpoints
from bench.training.checkpoint import path_of

DIGITS = "digits-deepcnet-3-10"
TRAIN = ["train", DIGITS, "--small", "--epochs", "2"]


def start(*arguments, launcher=(), **environment):
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "bench", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run file of a small training, with its checkpoint beside it."""
    target = tmp_path_factory.mktemp("runs") / "whole.json"
    assert main([*TRAIN, "-o", str(target)]) == 0
    return target


def test_experiments_are_listed_with_what_others_reached(capsys):
    assert main(["train", "--list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    published = {"error_percent": 0.58, "origin": "Graham 2014"}
    assert published in rows["mnist-deepcnet-5-10"]["published"]
    assert rows[DIGITS]["published"] == []
    assert all(0 < row["small_epochs"] <= row["epochs"] for row in rows.values())
    assert sum(name.startswith("assamese-deepcnet") for name in rows) == 15
    assert main(["train", "--list"]) == 0
    assert "assamese-vgg" in capsys.readouterr().out.replace("\n", "")


def test_run_files_are_shown_beside_what_was_published(trained, capsys):
    assert main(["train", "--table", str(trained)]) == 0
    out = capsys.readouterr().out
    assert f"| {DIGITS} (small) | gather |" in out
    assert re.search(
        r"^Not trained in full: \d+ experiments \(mnist-deepcnet-5-10, ", out, re.MULTILINE
    )


def test_a_training_without_any_download_learns_digits(trained, capsys):
    run = accuracy.load(trained)
    assert run.error_percent < 75
    assert run.settings.implementation == "gather"
    assert run.machine.name
    assert path_of(trained).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "name an experiment"),
        (["train", "nosuch"], "there is no experiment 'nosuch'"),
        (["train", DIGITS, "--impl", "nosuch"], "unknown implementation 'nosuch'"),
        (["train", DIGITS, "--impl", "dense,gather"], "unknown implementation 'dense,gather'"),
        (["train", DIGITS, "--background", "blue"], "unknown background 'blue'"),
        (["train", DIGITS, "--dtype", "float8"], "unknown dtype 'float8'"),
        (["train", DIGITS, "--dtype", "bfloat16"], "training is in float32 or float64"),
        (["train", DIGITS, "--precision", "int8"], "--precision is float32, bfloat16 or float16"),
        (["train", DIGITS, "--dtype", "float64", "--precision", "bfloat16"], "mixes with float32"),
        (["train", "--resume", "x", "--precision", "float16"], "leave out --precision"),
        (["train", DIGITS, "--device", "abacus"], "unknown device 'abacus'"),
        (["train", DIGITS, "--epochs", "0"], "--epochs"),
        (["train", DIGITS, "--seed", "-1"], "--seed"),
        (["train", DIGITS, "--seed", str(2**63)], "from 0 to 9223372036854775807"),
        (["train", DIGITS, "--threads", "100000"], "from 1 to 1024"),
        (["train", DIGITS, "-o", "run"], "ends in .json, not run"),
        (["train", DIGITS, "--loaders", "-1"], "--loaders"),
        (["train", "assamese-vgg", "--background", "ground_state"], "no ground state"),
        (["train", DIGITS, "--impl", "dense", "--parity", "gather"], "--parity"),
        (["train", DIGITS, "--parity", "nosuch"], "unknown implementation 'nosuch'"),
        (["train", DIGITS, "--dtype", "bfloat16", "--parity", "gather"], "float32 or float64"),
        (["train", "--resume", "run.json"], "takes a .checkpoint file, not run.json"),
        (["train", "--resume", "no/such.checkpoint"], "cannot read no/such.checkpoint"),
        (["train", "--resume", "x", "--seed", "1"], "leave out --seed"),
        (["train", "--resume", "x", "--skip-broken"], "leave out --skip-broken"),
        (["train", "--parity", "gather"], "name an experiment"),
        (["train", DIGITS, "--parity", "gather", "-o", "x.json"], "leave out --output"),
        (["train", DIGITS, "--parity", "gather", "--device", "abacus"], "unknown device 'abacus'"),
        (["train", "--parity", "gather", "--resume", "x.checkpoint"], "leave out --resume"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as left:
        code = left.code
    assert code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_missing_data_says_how_to_get_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path))
    for name in ("mnist-deepcnet-5-10", "assamese-vgg", "caltech101-invariant-5"):
        assert main(["train", name, "--small", "-o", str(tmp_path / "x.json")]) == 2
        assert "`sparsebench data fetch" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_a_folder_that_cannot_be_written_to_is_found_before_anything_is_trained(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr("bench.training.session.Training", None)
    (tmp_path / "file").touch()
    for folder, words in (("file", "is not a folder"), ("file/more", "Not a directory")):
        assert main([*TRAIN, "-o", str(tmp_path / folder / "x.json")]) == 2
        error = capsys.readouterr().err
        assert "cannot write" in error
        assert words in error
        assert error.count("\n") == 1


def test_a_checkpoint_of_a_device_that_is_not_here_is_one_line(
    trained, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = tmp_path / "gpu.checkpoint"
    saved = checkpoints.load(path_of(trained))
    saved.settings = replace(saved.settings, device="cuda")
    checkpoints.save(saved, path)
    assert main(["train", "--resume", str(path)]) == 2
    assert "finds no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize("how", [["--impl", "cuda"], ["--parity", "cuda"]])
def test_who_cannot_run_here_says_why_in_one_line(how, capsys):
    assert main(["train", DIGITS, "--small", *how]) == 2
    error = capsys.readouterr().err
    assert "cuda cannot train on cpu" in error
    assert error.count("\n") == 1


def test_parity_is_of_the_device_that_is_named(monkeypatch):
    asked = []
    monkeypatch.setattr("bench.measure.plan.check_device", {"cuda": "cpu:0"}.get)
    monkeypatch.setattr(
        "bench.training.parity.compare", lambda *_, **named: asked.append(named["device"]) or []
    )
    monkeypatch.setattr("bench.cli.training_output.print_parity", lambda *_: None)
    assert main(["train", DIGITS, "--parity", "gather", "--device", "cuda"]) == 0
    assert asked == ["cpu:0"]


def test_what_is_left_out_is_said_at_the_start(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.training.training.Training.left_out", ("a.jpg",))
    arguments = ["train", DIGITS, "--small", "--epochs", "1", "--skip-broken"]
    assert main([*arguments, "-o", str(tmp_path / "run.json")]) == 0
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "sparsebench: left out: 1 broken sample (a.jpg)"


def test_what_is_there_is_not_overwritten(trained, capsys):
    assert main([*TRAIN, "-o", str(trained)]) == 2
    assert "written once" in capsys.readouterr().err
    assert main(["train", "--resume", str(path_of(trained))]) == 2
    assert "this training is finished" in capsys.readouterr().err


def test_a_checkpoint_of_another_experiment_is_refused(trained, capsys):
    assert main(["train", "mnist-cnn-small", "--resume", str(path_of(trained))]) == 2
    assert f"is a checkpoint of {DIGITS}, not of mnist-cnn-small" in capsys.readouterr().err


def test_parity_is_told_and_a_lack_of_it_is_exit_code_4(capsys, monkeypatch):
    assert main(["train", DIGITS, "--parity", "gather", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert "dense" in out
    assert "gather" in out
    monkeypatch.setitem(sys.modules["bench.training.parity"].TOLERANCE, "float32", 0.0)
    code = main(["train", DIGITS, "--parity", "gather", "--steps", "4", "--dtype", "float32"])
    assert code == 4


@pytest.mark.slow
def test_a_training_killed_at_a_random_moment_goes_on_to_the_same_curve(trained, tmp_path):
    target = tmp_path / "killed.json"
    process = start(*TRAIN, "-o", target, "--checkpoint-seconds", "0.001")
    end = time.monotonic() + 300
    while not path_of(target).exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(random.Random(1).random() * 0.3)  # noqa: S311
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    assert main(["train", "--resume", str(path_of(target))]) == 0
    whole, resumed = accuracy.load(trained), accuracy.load(target)
    assert resumed.resumed == 1
    assert resumed.first_losses == whole.first_losses
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.error_percent == whole.error_percent


@pytest.mark.slow
def test_two_processes_learn_what_one_does(trained, tmp_path):
    target = tmp_path / "shared.json"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start(*TRAIN, "-o", target, launcher=launcher, OMP_NUM_THREADS="1")
    errors = process.communicate(timeout=600)[1]
    assert process.returncode == 0, errors
    whole, shared = accuracy.load(trained), accuracy.load(target)
    assert shared.settings.processes == 2
    assert shared.first_losses == pytest.approx(whole.first_losses, rel=1e-3)
    assert abs(shared.error_percent - whole.error_percent) < 2
    assert not list(Path(tmp_path).glob(".*"))
