"""Implementations that write to what they are given."""

import torch

from impls.gather import Gather


class WritesFeatures(Gather):
    """Doubles the features of every batch that it encodes, in place."""

    name = "writes_features"

    def encode(self, batch):
        with torch.no_grad():
            batch.features.mul_(2)
        return super().encode(batch)


class WritesCoordinates(Gather):
    """Moves every site to the first sample, in place."""

    name = "writes_coordinates"

    def encode(self, batch):
        batch.coordinates[:, 0] = 0
        return super().encode(batch)


class WritesWeights(Gather):
    """Doubles weights and biases, in place."""

    name = "writes_weights"

    def convolution(self, operator, weight, bias):
        return super().convolution(operator, weight.mul_(2), bias.mul_(2))


class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream.mul_(2)


class WritesUpstream(Gather):
    """Right values; doubles the gradient that it is handed, in place."""

    name = "writes_upstream"

    def decode(self, native):
        batch = super().decode(native)
        return batch.with_features(_Doubling.apply(batch.features))
