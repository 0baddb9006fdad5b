import pytest

from bench.errors import UserError
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Dropout,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)

STEM = convolution(2, "submanifold", 3, 4, 3)
DOWN = convolution(2, "full", 4, 6, 2, 2)
UP = InverseConvolution(6, 4, DOWN.window)
BLOCK = Network(
    (
        Layer("stem", STEM),
        Layer("active", Rectifier()),
        Layer("down", DOWN),
        Layer("linear", Linear(6, 6)),
        Layer("up", UP, ("linear", "active")),
        Layer("sum", Add(), ("up", "stem")),
        Layer("both", Concatenate(), ("sum", "active")),
        Layer("pool", max_pooling(2, 3, 2)),
    )
)


def test_a_layer_reads_the_one_before_it_unless_it_names_others():
    assert BLOCK.reads(0) == (INPUT,)
    assert BLOCK.reads(1) == ("stem",)
    assert BLOCK.reads(4) == ("linear", "active")


def test_shapes_follow_every_layer_and_branch():
    assert BLOCK.shapes(3, (8, 10)) == {
        "input": (3, (8, 10)),
        "stem": (4, (8, 10)),
        "active": (4, (8, 10)),
        "down": (6, (4, 5)),
        "linear": (6, (4, 5)),
        "up": (4, (8, 10)),
        "sum": (4, (8, 10)),
        "both": (8, (8, 10)),
        "pool": (8, (3, 4)),
    }


def test_an_inverse_convolution_returns_to_a_grid_that_the_stride_does_not_divide():
    assert BLOCK.shapes(3, (9, 11))["up"] == (4, (9, 11))


def test_a_network_without_layers_is_refused():
    with pytest.raises(UserError, match="at least one layer"):
        Network(())


@pytest.mark.parametrize("name", ["stem", INPUT])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(UserError, match=f"called '{name}'"):
        Network((Layer("stem", STEM), Layer(name, Rectifier())))


@pytest.mark.parametrize("name", ["", "conv.1", "type", "keys", "training", "get"])
def test_a_name_that_torch_has_no_module_by_is_refused(name):
    with pytest.raises(UserError, match=f"no layer can be called '{name}'"):
        Network((Layer("stem", STEM), Layer(name, Rectifier())))


@pytest.mark.parametrize("read", ["later", "itself", "nowhere"])
def test_reading_what_does_not_come_before_is_refused_with_both_names(read):
    with pytest.raises(UserError, match=f"layer 'itself' reads '{read}'"):
        Network((Layer("itself", Rectifier(), (read,)), Layer("later", Rectifier())))


@pytest.mark.parametrize("reads", [(), ("down",), ("down", INPUT, "down")], ids=str)
def test_an_inverse_convolution_must_read_two_layers(reads):
    with pytest.raises(UserError, match="layer 'up' must read two layers"):
        Network((Layer("down", DOWN), Layer("up", UP, reads)))


@pytest.mark.parametrize("operator", [DOWN, Linear(4, 5)], ids=["convolution", "linear"])
def test_a_wrong_number_of_channels_is_refused_with_layer_and_numbers(operator):
    network = Network((Layer("first", Rectifier()), Layer("second", operator)))
    with pytest.raises(UserError, match=r"layer 'second': its input has 3 channels, .* expects 4"):
        network.shapes(3, (8, 8))


def test_a_grid_that_a_kernel_does_not_fit_is_refused_with_the_layer():
    network = Network((Layer("first", max_pooling(2, 2, 2)), Layer("second", max_pooling(2, 3, 1))))
    with pytest.raises(UserError, match=r"layer 'second': grid size \(2, 2\) is too small"):
        network.shapes(1, (4, 4))


def test_a_grid_with_other_axes_is_refused_with_the_layer():
    with pytest.raises(UserError, match=r"layer 'layer': .* 3 entries; 2 axes"):
        single(STEM).shapes(3, (8, 8, 8))


def test_an_inverse_convolution_onto_sites_that_do_not_lead_to_its_source_is_refused():
    further = convolution(2, "full", 6, 6, 2, 2)
    network = Network(
        (Layer("down", DOWN), Layer("further", further), Layer("up", UP, ("further", INPUT)))
    )
    with pytest.raises(
        UserError, match=r"layer 'up': its window takes .* to \(4, 4\), not .*\(2, 2"
    ):
        network.shapes(4, (8, 8))


def test_adding_tensors_of_different_shapes_is_refused_with_the_layer():
    network = Network((Layer("stem", STEM), Layer("sum", Add(), ("stem", INPUT))))
    with pytest.raises(UserError, match="layer 'sum': it adds tensors of different shapes"):
        network.shapes(3, (8, 8))


def test_concatenating_tensors_on_different_grids_is_refused_with_the_layer():
    network = Network(
        (
            Layer("stem", STEM),
            Layer("down", DOWN),
            Layer("both", Concatenate(), ("stem", "down")),
        )
    )
    with pytest.raises(UserError, match="layer 'both'"):
        network.shapes(3, (8, 8))


def test_a_batch_norm_of_other_channels_is_refused_with_the_layer():
    with pytest.raises(UserError, match="layer 'layer'"):
        single(BatchNorm(4)).shapes(3, (8, 8))


def test_a_layer_of_one_input_that_reads_two_is_refused():
    with pytest.raises(UserError, match="layer 'second'"):
        Network((Layer("first", Rectifier()), Layer("second", Rectifier(), ("first", INPUT))))


@pytest.mark.parametrize(
    "operator",
    [max_pooling(2, 2, 2), Rectifier(), Dropout(0.5), BatchNorm(7)],
    ids=lambda operator: type(operator).__name__,
)
def test_operators_without_weights_keep_any_number_of_channels(operator):
    assert single(operator).shapes(7, (8, 8))["layer"][0] == 7
    assert single(operator).input_channels is None


def test_the_first_weighted_layer_says_how_many_channels_come_in():
    assert BLOCK.input_channels == 3
    assert Network((Layer("pool", max_pooling(2, 2, 2)), Layer("down", DOWN))).input_channels == 4


def test_only_a_network_of_one_layer_has_a_single_operator():
    assert single(STEM).single_operator == STEM
    assert BLOCK.single_operator is None
