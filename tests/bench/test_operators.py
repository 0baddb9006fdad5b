import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from bench.errors import UserError
from bench.operators import (
    Convolution,
    Dropout,
    InverseConvolution,
    Linear,
    Rule,
    convolution,
    max_pooling,
)
from bench.window import window


@pytest.mark.parametrize("kernel_size", [2, 4, (3, 2)], ids=str)
def test_an_even_submanifold_kernel_is_refused_because_libraries_disagree(kernel_size):
    with pytest.raises(
        UserError, match=r"no agreed anchor for an even kernel .* \(libraries differ"
    ):
        convolution(2, "submanifold", 1, 1, kernel_size)


@pytest.mark.parametrize(
    ("stride", "padding"), [(2, 1), (1, 0), (1, 2), ((1, 2), 1), (1, (1, 0))], ids=str
)
def test_a_submanifold_stride_or_padding_is_refused_with_what_is_needed(stride, padding):
    with pytest.raises(UserError, match=r"needs stride 1 and padding \(1, 1\), not stride"):
        convolution(2, "submanifold", 1, 1, 3, stride, padding)


def test_the_check_of_a_submanifold_geometry_cannot_be_passed_by():
    with pytest.raises(UserError, match="needs stride 1"):
        Convolution(Rule.SUBMANIFOLD, 1, 1, window(2, 3))


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "padding"),
    [(1, 1, (0, 0)), (3, 1, (1, 1)), (3, 2, (2, 2)), ((5, 3), (1, 3), (2, 3))],
    ids=str,
)
def test_submanifold_padding_keeps_the_grid(kernel_size, dilation, padding):
    operator = convolution(2, "submanifold", 1, 1, kernel_size, dilation=dilation)
    assert operator.window.padding == padding
    assert operator.window.output_grid((11, 13)) == (11, 13)


@pytest.mark.parametrize("rule", ["full", "sparsity_invariant"])
def test_other_rules_pad_nothing_unless_told(rule):
    assert convolution(2, rule, 1, 1, 3).window.padding == (0, 0)


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(UserError) as refused:
        convolution(2, "sparse", 1, 1, 3)
    for words in ("'sparse'", "full", "submanifold", "sparsity_invariant"):
        assert words in str(refused.value)


@pytest.mark.parametrize("padding", range(4))
@pytest.mark.parametrize("kernel_size", range(1, 6))
def test_pooling_padding_is_refused_exactly_where_torch_refuses_it(kernel_size, padding):
    def by_torch():
        return F.max_pool2d(torch.zeros((1, 1, 9, 9)), kernel_size, 1, padding)

    if 2 * padding <= kernel_size:
        pooling = max_pooling(2, kernel_size, 1, padding)
        assert pooling.window.output_grid((9, 9)) == tuple(by_torch().shape[2:])
        return
    with pytest.raises(RuntimeError):
        by_torch()
    with pytest.raises(UserError, match="half of its kernel size"):
        max_pooling(2, kernel_size, 1, padding)


def test_pooling_padding_is_checked_along_every_axis():
    with pytest.raises(UserError, match=r"padding \(1, 2\)"):
        max_pooling(2, (2, 3), 1, (1, 2))


@pytest.mark.parametrize("probability", [0, 0.5, 0.999])
def test_dropout_takes_probabilities_below_one(probability):
    assert Dropout(probability).probability == probability


@pytest.mark.parametrize("probability", [1, -0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability_or_drops_everything(probability):
    with pytest.raises(UserError, match=r"dropout probability .* is not in \[0, 1\)"):
        Dropout(probability)


@pytest.mark.parametrize(("inputs", "outputs"), [(0, 4), (4, 0), (-1, 4)])
@pytest.mark.parametrize(
    "make",
    [
        lambda i, o: convolution(2, "full", i, o, 3),
        lambda i, o: InverseConvolution(i, o, window(2, 3)),
        Linear,
    ],
    ids=["convolution", "inverse", "linear"],
)
def test_every_weighted_operator_needs_channels(make, inputs, outputs):
    with pytest.raises(UserError, match=f"at least 1, not {min(inputs, outputs)}"):
        make(inputs, outputs)


def test_weight_shapes_are_those_of_torch():
    geometry = window(3, (3, 2, 1))
    forward = convolution(3, "full", 4, 6, (3, 2, 1))
    assert forward.weight_shape == nn.Conv3d(4, 6, (3, 2, 1)).weight.shape
    inverse = InverseConvolution(4, 6, geometry)
    assert inverse.weight_shape == nn.ConvTranspose3d(4, 6, (3, 2, 1)).weight.shape
    assert Linear(4, 6).weight_shape == nn.Linear(4, 6).weight.shape


def test_equal_operators_are_equal_and_hashable():
    assert convolution(2, "full", 1, 2, 3) == convolution(2, Rule.FULL, 1, 2, (3, 3))
    assert len({convolution(2, "full", 1, 2, 3), convolution(2, Rule.FULL, 1, 2, (3, 3))}) == 1
