"""What one kind of machine has measured of a sweep: units join if they were measured alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.fleet.part import Part
from bench.results.store import Journal, load

GOLDEN = Path(__file__).parents[1] / "results" / "golden" / "run-schema-1.json"


def at(header, commit):
    """The same, its plug-in being at that commit."""
    gather, *others = header.implementations
    return replace(header, implementations=(replace(gather, commit=commit), *others))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: replace(header, commit="fedcba987654"),
        lambda header: replace(header, settings=replace(header.settings, processes=17)),
        lambda header: at(header, "fedcba987654"),
        lambda header: replace(header, suite_commits={"quick": "fedcba987654"}),
    ],
    ids=["commit", "settings", "plug-in's commit", "suite's commit"],
)
def test_what_was_measured_otherwise_does_not_join(change, tmp_path):
    whole = load(GOLDEN)
    first = replace(at(whole.header, "0123456789ab"), suite_commits={"quick": "0123456789ab"})
    whole = replace(whole, header=first)
    part = Part(Journal(tmp_path / "run.json"), "cpu", "a machine", ["first", "second"])
    part.keep("first", whole)
    with pytest.raises(UserError, match=r"second came back with other settings.* another commit"):
        part.keep("second", replace(whole, header=change(whole.header)))
    assert part.missing == ["second"]


def test_a_worker_that_cannot_tell_commits_of_plug_ins_joins(tmp_path):
    whole = load(GOLDEN)
    part = Part(Journal(tmp_path / "run.json"), "cpu", "a machine", ["first", "second"])
    part.keep("first", replace(whole, header=at(whole.header, "0123456789ab")))
    part.keep("second", replace(whole, header=at(whole.header, "")))
    assert not part.missing
