import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import LARGEST_AXIS, fits, windows
from torch.nn import functional as F  # noqa: N812

from bench.errors import UserError
from bench.window import Window, per_axis, window

CONVOLVE = {2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


@st.composite
def geometries(draw):
    dimensions = draw(st.sampled_from([2, 3]))
    grid_size = tuple(draw(st.integers(1, 2 + LARGEST_AXIS[dimensions])) for _ in range(dimensions))
    return draw(windows(dimensions)), grid_size


@given(geometries())
def test_the_output_grid_is_the_one_that_torch_computes(geometry):
    drawn, grid_size = geometry
    values = torch.zeros((1, 1, *grid_size))
    weight = torch.zeros((1, 1, *drawn.kernel_size))
    convolve = CONVOLVE[drawn.dimensions]
    if not fits(drawn, grid_size):
        with pytest.raises(RuntimeError):
            convolve(values, weight, None, drawn.stride, drawn.padding, drawn.dilation)
        with pytest.raises(UserError):
            drawn.output_grid(grid_size)
        return
    output = convolve(values, weight, None, drawn.stride, drawn.padding, drawn.dilation)
    assert drawn.output_grid(grid_size) == tuple(output.shape[2:])


@given(geometries())
def test_output_padding_makes_the_transposed_convolution_return_to_the_grid(geometry):
    drawn, grid_size = geometry
    if not fits(drawn, grid_size):
        return
    coarse = torch.zeros((1, 1, *drawn.output_grid(grid_size)))
    fine = TRANSPOSE[drawn.dimensions](
        coarse,
        torch.zeros((1, 1, *drawn.kernel_size)),
        stride=drawn.stride,
        padding=drawn.padding,
        output_padding=drawn.output_padding(grid_size),
        dilation=drawn.dilation,
    )
    assert tuple(fine.shape[2:]) == grid_size


def test_sites_are_kept_by_a_window_of_one_tap_that_neither_strides_nor_pads():
    assert window(2, 1).keeps_sites
    assert window(3, 1, dilation=2).keeps_sites
    for other in (window(2, (1, 3), padding=(0, 1)), window(2, 1, (1, 2)), window(2, 1, 1, (1, 0))):
        assert not other.keeps_sites


@given(st.sampled_from([1, 2, 3]).flatmap(windows))
def test_offsets_come_in_the_order_of_a_flattened_torch_kernel(drawn):
    taps = torch.arange(drawn.volume).reshape(drawn.kernel_size)
    assert [int(taps[offset]) for offset in drawn.offsets()] == list(range(drawn.volume))


def test_a_grid_smaller_than_the_kernel_is_refused_with_axis_and_sizes():
    with pytest.raises(UserError) as refused:
        window(2, 3, dilation=(1, 2), padding=(0, 1)).output_grid((3, 2))
    message = str(refused.value)
    assert "\n" not in message
    for words in ("(3, 2)", "axis 1", "2 sites", "padding 1", "reaches 5"):
        assert words in message


def test_a_grid_that_just_holds_the_kernel_has_one_output_site():
    assert window(2, 3, dilation=2).output_grid((5, 5)) == (1, 1)


def test_a_grid_with_other_axes_than_the_window_is_refused():
    with pytest.raises(UserError, match=r"grid size \(8, 8, 8\) has 3 entries; 2 axes"):
        window(2, 3).output_grid((8, 8, 8))


@pytest.mark.parametrize(
    ("field", "what", "value"),
    [
        ("kernel_size", "kernel size", (3, 0)),
        ("stride", "stride", (0, 1)),
        ("padding", "padding", (1, -1)),
        ("dilation", "dilation", (1, 0)),
    ],
)
def test_a_number_that_is_too_small_is_refused_by_name(field, what, value):
    fields = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    with pytest.raises(UserError) as refused:
        Window(**(fields | {field: value}))
    assert str(refused.value).startswith(f"{what} {value}")


@pytest.mark.parametrize("what", ["stride", "padding", "dilation"])
def test_fewer_entries_than_axes_are_refused_by_name(what):
    with pytest.raises(UserError, match=rf"{what} \(1,\) has 1 entries; 2 axes"):
        window(2, 3, **{what: (1,)})


def test_one_number_is_spread_over_the_axes_and_a_tuple_kept():
    assert per_axis(2, 3, "stride") == (2, 2, 2)
    assert per_axis((1, 2), 2, "stride") == (1, 2)
    assert window(3, 2, (1, 2, 3)) == Window((2, 2, 2), (1, 2, 3), (0, 0, 0), (1, 1, 1))
