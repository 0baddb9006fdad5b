"""What hypothesis draws for the conformance suite: as many cases as it is asked for are checked."""

import pytest

from bench.conformance import properties
from bench.conformance.checks import Outcome, Result
from bench.conformance.properties import check_properties
from bench.errors import UserError
from bench.network import Network
from impls.gather import Gather


@pytest.fixture
def checked(monkeypatch):
    """The networks that were checked; all are right."""
    networks = []

    def check_batch(_implementation, network, _batch, _device):
        networks.append(network)
        return Outcome(Result.PASSED)

    monkeypatch.setattr(properties, "check_batch", check_batch)
    return networks


@pytest.mark.parametrize("examples", [1, 10])
def test_a_case_that_does_not_fit_its_grid_counts_as_no_example(checked, monkeypatch, examples):
    drawn = []

    def shapes(*arguments, fitting=Network.shapes):
        drawn.append(arguments)
        if len(drawn) % 2:
            raise UserError("the window does not fit")
        return fitting(*arguments)

    monkeypatch.setattr(Network, "shapes", shapes)
    started = []
    outcome = check_properties(Gather(), examples=examples, started=started.append)
    assert outcome.result is Result.PASSED
    assert len(checked) == len(started) == examples
    assert all("operator" in case and "; coordinates [" in case for case in started)


def test_where_no_drawn_case_fits_nothing_has_passed(checked, monkeypatch):
    def shapes(*_):
        raise UserError("the window does not fit")

    monkeypatch.setattr(Network, "shapes", shapes)
    outcome = check_properties(Gather(), examples=1)
    assert not checked
    assert outcome.result is Result.UNSUPPORTED
    assert outcome.reason == "no case was drawn whose windows fit the grid"
