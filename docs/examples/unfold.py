"""Convolution by unfolding every window into a column: a complete sparsebench plug-in."""
from torch import nn
from torch.nn.functional import unfold

from bench.batch import from_dense
from bench.implementation import Implementation


class Unfold(Implementation):
    name = "unfold"
    def unsupported(self, operator, dtype, device):  # a reason in words, or None
        rule = getattr(operator, "rule", None)  # batch norm and the like have none
        fits = rule is None or (rule, operator.window.dimensions) == ("full", 2)
        return None if fits else "2D full only"
    def encode(self, batch):  # sparse batch -> whatever this implementation computes on
        return batch.dense(), batch.mask()
    def decode(self, native):  # and back
        return from_dense(*native)
    def features(self, native):
        return native[0]
    def with_features(self, native, features):
        return features, native[1]
    def convolution(self, operator, weight, bias):  # weight [C_out, C_in, *kernel]
        return UnfoldConvolution(operator.window, weight, bias)


class UnfoldConvolution(nn.Module):
    def __init__(self, window, weight, bias):
        super().__init__()
        self.geometry = (window.kernel_size, window.dilation, window.padding, window.stride)
        self.output_grid = window.output_grid
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
    def forward(self, native):
        values, mask = native
        output = self.weight.flatten(1) @ unfold(values, *self.geometry)
        output = output if self.bias is None else output + self.bias[:, None]
        active = unfold(mask.to(values.dtype), *self.geometry).amax(1, keepdim=True) > 0
        shape = self.output_grid(tuple(values.shape[2:]))
        return (output * active).unflatten(2, shape), active.unflatten(2, shape)
