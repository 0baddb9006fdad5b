"""Implementations that are wrong on purpose, each in one way."""

from dataclasses import replace

import torch
from torch import nn

from impls.dense import Dense, DenseConvolution, Grid
from impls.gather import Gather


class OffByOneTap(Gather):
    """Every weight is applied at its neighbour's kernel offset."""

    name = "off_by_one_tap"

    def convolution(self, operator, weight, bias):
        return super().convolution(operator, weight.roll(1, dims=-1), bias)


class BiasEverywhere(Dense):
    """The bias reaches inactive sites, too."""

    name = "bias_everywhere"

    def convolution(self, operator, weight, bias):
        class Unmasked(DenseConvolution):
            def forward(self, native):
                whole = Grid(native.values, native.sites)
                inner = super().forward(whole)
                return Grid(inner.values + (inner.values == 0), inner.sites)

        return Unmasked(operator, weight, bias)


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream * 1.01


class WrongGradient(Gather):
    """Right values, gradients one percent too large."""

    name = "wrong_gradient"

    def decode(self, native):
        batch = super().decode(native)
        return batch.with_features(_WrongGradient.apply(batch.features))


class WrongSecondCall(Gather):
    """Right at the first call of a module, wrong from the second on."""

    name = "wrong_second_call"

    def convolution(self, operator, weight, bias):
        return _Forgetful(super().convolution(operator, weight, bias))


class _Forgetful(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.calls = 0

    @property
    def weight(self):
        return self.inner.weight

    @property
    def bias(self):
        return self.inner.bias

    def forward(self, native):
        self.calls += 1
        output = self.inner(native)
        return output._replace(features=output.features * (1 if self.calls <= 1 else 2))


class WrongWhenWarm(Gather):
    """Right until it has been called a dozen times: only a check after measuring sees it."""

    name = "wrong_when_warm"

    def convolution(self, operator, weight, bias):
        module = _Forgetful(super().convolution(operator, weight, bias))
        module.calls = -10
        return module


class Remembers(Gather):
    """Computes once and then returns the same, as long as features lie where they lay."""

    name = "remembers"

    def convolution(self, operator, weight, bias):
        return _Remembering(super().convolution(operator, weight, bias))


class _Remembering(_Forgetful):
    def __init__(self, inner):
        super().__init__(inner)
        self.answers = {}

    def forward(self, native):
        if torch.is_grad_enabled():
            return self.inner(native)
        place = native.features.data_ptr()
        if place not in self.answers:
            self.answers[place] = self.inner(native)
        return self.answers[place]


class SpuriousSite(Gather):
    """Reports an output site that is not active."""

    name = "spurious_site"

    def decode(self, native):
        batch = super().decode(native)
        if not batch.sites:
            return batch
        coordinates = batch.coordinates.clone()
        coordinates[-1, -1] = (coordinates[-1, -1] + 1) % batch.grid_size[-1]
        return replace(batch, coordinates=coordinates)
