"""What the oracle found, kept for the other processes of a workload."""

from dataclasses import fields, is_dataclass

import pytest
import torch

from bench.build import initial_weights
from bench.measure import kept_expectation
from bench.measure.kept_expectation import keep, kept
from bench.oracle.expectation import expect
from bench.plugins.suites import load_suite


def flat(value, name=""):
    """Every leaf of an expectation by its path."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        found = {}
        for key, own in value.items():
            found |= flat(own, f"{name}.{key}")
        return found
    return {name: value}


def expectation_of(suite, pattern):
    workload = next(own for own in load_suite(suite).workloads() if pattern in own.name)
    batch = workload.input.batch(workload.channels, workload.seed).checked().sorted()
    weights = initial_weights(workload.network, workload.seed, torch.float32, torch.device("cpu"))
    return expect(
        workload.network, weights, batch, background=workload.background, seed=workload.seed
    )


@pytest.mark.parametrize(
    ("suite", "pattern"), [("quick", "3d-full"), ("quick", "maxpool"), ("quick", "invariant")]
)
def test_what_is_read_is_what_was_kept(suite, pattern, tmp_path):
    path = tmp_path / "expectation"
    found = expectation_of(suite, pattern)
    keep(found, "this", path)
    again = flat(kept("this", path))
    assert again.keys() == flat(found).keys()
    for name, value in flat(found).items():
        same = torch.equal(value, again[name]) if torch.is_tensor(value) else value == again[name]
        assert same, name


def test_what_is_of_something_else_or_damaged_or_missing_is_not_taken(tmp_path):
    path = tmp_path / "expectation"
    assert kept("this", path) is None
    keep(expectation_of("quick", "maxpool"), "another", path)
    assert kept("this", path) is None
    assert kept("another", path) is not None
    whole = path.read_bytes()
    for damaged in (b"", b"x" * 100, whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert kept("another", path) is None


def test_what_is_too_large_or_cannot_be_written_is_left(tmp_path, monkeypatch):
    found = expectation_of("quick", "maxpool")
    keep(found, "this", tmp_path / "nowhere" / "expectation")
    monkeypatch.setattr(kept_expectation, "LARGEST_BYTES", 10)
    keep(found, "this", tmp_path / "expectation")
    assert not list(tmp_path.iterdir())
