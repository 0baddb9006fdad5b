"""Whoever computes in threads of its own is found out where one thread is measured."""

from concurrent.futures import wait

import pytest
from candidates import candidate, every_implementation

from bench.implementation import why_unmeasured
from bench.measure.steps import Step, step_of
from bench.measure.threads import work_of_other_threads
from bench.network import single
from bench.operators import convolution
from bench.phases import Phase
from tests.plugins.parallel import Helpers

PIECES = 4


@pytest.fixture
def helpers():
    return Helpers()


def test_threads_that_a_call_waits_for_are_counted(helpers):
    step = Step(lambda: helpers.begin(PIECES), wait, lambda _: None)
    assert (
        "processors were at work during a call, and one thread was asked"
        in work_of_other_threads(step)
    )


def test_work_that_goes_on_after_a_call_has_returned_is_found_out(helpers):
    begun = []

    def prepare():
        wait(begun)

    def call(_):
        for _ in range(PIECES):
            helpers.work()
        begun[:] = helpers.begin(PIECES)

    reason = work_of_other_threads(Step(prepare, call, lambda _: None))
    assert "other threads (its own, or torch's if it set their number) went on for" in reason


def test_what_went_on_once_is_held_against_nobody(helpers):
    """A library may finish in the background what its first call began."""
    begun = []

    def call(_):
        if not begun:
            begun.extend(helpers.begin(PIECES))
            wait(begun)
        helpers.work()

    assert work_of_other_threads(Step(lambda: None, call, lambda _: None)) is None


@pytest.mark.parametrize("phase", Phase)
@every_implementation
def test_nobody_here_computes_in_threads_of_its_own(implementation, phase, random_batch):
    operator = convolution(2, "full", 3, 4, 3, stride=2, padding=1)
    subject = candidate(implementation, single(operator), random_batch())
    if why_unmeasured(implementation, phase, subject.built.network) is not None:
        pytest.skip("not measured")
    assert work_of_other_threads(step_of(subject, phase)) is None
