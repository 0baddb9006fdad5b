"""What the conformance suite asks beyond the checks of a run."""

import torch

from bench.conformance.cases import USUAL_DENSITY, Case
from bench.conformance.checks import Result, check
from bench.network import single
from bench.operators import convolution
from impls.gather import Gather

CASE = Case(
    "submanifold-k3",
    single(convolution(2, "submanifold", 3, 5, 3)),
    (9, 8),
    USUAL_DENSITY,
    "float32",
)


class WritesCoordinates(Gather):
    """Sorts the caller's own coordinates in place, and computes on what they were."""

    def encode(self, batch):
        native = super().encode(batch.copied())
        batch.coordinates[:, 0] += 1
        return native


class DropsZeros(Gather):
    """Takes sites that hold zeros for inactive ones."""

    def encode(self, batch):
        active = batch.features.any(1)
        kept = type(batch)(
            batch.coordinates[active], batch.features[active], batch.batch_size, batch.grid_size
        )
        return super().encode(kept)


class _ReadsMemory(torch.autograd.Function):
    """Reads its upstream as kernels do that take an address and trust that all values follow it."""

    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream.as_strided(upstream.shape, (upstream.shape[1], 1))


class TakesUpstreamForContiguous(Gather):
    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)

        def read(_, __, result):
            return self.with_features(result, _ReadsMemory.apply(self.features(result)))

        module.register_forward_hook(read)
        return module


class HalvesGradients(Gather):
    def encode(self, batch):
        features = batch.features / 2 + (batch.features / 2).detach()
        return super().encode(batch.with_features(features))


def test_an_upstream_gradient_need_not_be_contiguous():
    outcome = check(TakesUpstreamForContiguous(), CASE)
    assert outcome.result is Result.FAILED
    wrong = "where the upstream gradient is not contiguous, gradient at input is wrong"
    assert outcome.reason.startswith(wrong)
    outcome = check(HalvesGradients(), CASE)  # wrong in any case
    assert outcome.reason.startswith("gradient at input is wrong")


def test_coordinates_may_not_be_written_to():
    assert check(Gather(), CASE).result is Result.PASSED
    outcome = check(WritesCoordinates(), CASE)
    assert outcome.result is Result.FAILED
    assert "coordinates were overwritten" in outcome.reason


def test_a_site_is_active_whatever_it_holds():
    features = CASE.batch().features
    assert (features == 0).all(1).any()
    assert not (features == 0).all()
    outcome = check(DropsZeros(), CASE)
    assert outcome.result is Result.FAILED
    assert "is not the batch" in outcome.reason


def test_a_case_is_the_same_every_time():
    assert torch.equal(CASE.batch().features, CASE.batch().features)
