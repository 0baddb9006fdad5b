"""What one kind of machine has measured of a sweep: units join if they were measured alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.fleet.part import Part
from bench.results.store import Journal, load

GOLDEN = Path(__file__).parent / "golden" / "run-schema-1.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda header: replace(header, commit="fedcba987654"),
        lambda header: replace(header, settings=replace(header.settings, processes=17)),
    ],
    ids=["commit", "settings"],
)
def test_what_was_measured_otherwise_does_not_join(change, tmp_path):
    whole = load(GOLDEN)
    part = Part(Journal(tmp_path / "run.json"), "cpu", "a machine", ["first", "second"])
    part.keep("first", whole)
    with pytest.raises(UserError, match=r"second came back with other settings.* another commit"):
        part.keep("second", replace(whole, header=change(whole.header)))
    assert part.missing == ["second"]
