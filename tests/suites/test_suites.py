import contextlib
import dataclasses
from enum import StrEnum

import msgspec
import pytest
import torch

from bench.errors import UserError
from bench.network import Layer, Network, single
from bench.operators import Convolution, MaxPooling, convolution, max_pooling
from bench.workload import Suite, Workload
from suites import inputs, layers, patterns, quick, real, voxels
from suites.inputs import Images
from suites.networks import suite as networks
from suites.networks.pictures import KeptDigits

SUITES = {
    "quick": quick.SUITE,
    "layers": layers.SUITE,
    "real": real.SUITE,
    "networks": networks.SUITE,
    "voxels": voxels.SUITE,
}
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)


def grid_of(source):
    """Grid size of an input, without making its batch: data may not be there."""
    if isinstance(source, inputs.SpconvScene):
        return (80, 1600, 1600)
    if isinstance(source, KeptDigits):
        return (28, 28)
    return source.grid_size if hasattr(source, "grid_size") else (source.grid, source.grid)


def operators(suite):
    return [workload.network.single_operator for workload in suite.workloads()]


@every_suite
def test_names_are_unique(suite):
    names = [workload.name for workload in suite.workloads()]
    assert len(names) == len(set(names)) > 10


@every_suite
def test_a_suite_is_the_same_every_time_it_is_asked(suite):
    assert suite.workloads() == suite.workloads()


@every_suite
def test_a_workload_is_found_by_its_name(suite):
    for workload in suite.workloads()[::20]:
        assert suite.find(workload.name) == workload
    with pytest.raises(UserError, match="has no workload 'nothing'"):
        suite.find("nothing")


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_calls_itself_as_its_module_does_and_says_what_it_is(name):
    assert SUITES[name].name == name
    assert SUITES[name].description
    assert "\n" not in SUITES[name].description
    assert SUITES[name].processes >= 3


def test_every_workloads_shapes_fit_its_input():
    for suite in SUITES.values():
        for workload in suite.workloads():
            shapes = workload.network.shapes(workload.channels, grid_of(workload.input))
            channels, grid = shapes[workload.network.layers[-1].name]
            assert channels > 0
            assert min(grid) > 0


@pytest.mark.parametrize(
    "workload",
    quick.SUITE.workloads(),
    ids=lambda workload: workload.name,
)
def test_what_a_quick_workload_makes_is_the_batch_that_it_names(workload):
    batch = workload.input.batch(workload.channels, workload.seed)
    assert batch.channels == workload.channels
    assert batch.grid_size == workload.input.grid_size
    assert 0 < batch.sites <= batch.all_sites
    density = getattr(workload.input, "density", None)
    if density is not None:
        assert batch.density == pytest.approx(density, rel=0.02)
        assert workload.position in {density, 0.0}


def test_bundled_digits_need_no_download():
    batch = Images("digits", 24, 4).batch(3, 0)
    assert (batch.batch_size, batch.grid_size, batch.channels) == (4, (24, 24), 3)
    # Digits are 8x8 and stand in the middle.
    assert int(batch.coordinates[:, 1:].min()) >= 8
    assert int(batch.coordinates[:, 1:].max()) < 16
    with pytest.raises(UserError, match="do not fit on a grid of 6"):
        Images("digits", 6, 4).batch(3, 0)
    with pytest.raises(UserError, match="unknown images 'cats'; known are mnist, digits"):
        Images("cats", 24, 4)


def test_two_workloads_share_a_version_only_if_they_are_defined_alike():
    definition_of = {}
    for suite in SUITES.values():
        for workload in suite.workloads():
            text = msgspec.json.encode(workload.definition(), order="sorted")
            assert definition_of.setdefault(workload.version(), text) == text


@every_suite
def test_within_a_suite_no_workload_is_defined_twice(suite):
    versions = [workload.version() for workload in suite.workloads()]
    assert len(versions) == len(set(versions))


@every_suite
def test_workloads_of_a_group_differ_in_their_position(suite):
    groups = {}
    for workload in suite.workloads():
        if workload.group:
            groups.setdefault(workload.group, []).append(workload)
    assert groups
    for members in groups.values():
        positions = [workload.position for workload in members]
        assert len(set(positions)) == len(positions) > 1
        (axis,) = {workload.axis for workload in members}
        assert (axis == "density") == (max(positions) <= 1)
        # A larger grid needs a deeper network, and that is one thing.
        if axis not in {"grid size", "k"}:
            assert len({workload.network for workload in members}) == 1


def test_quick_has_layers_in_2d_and_3d_of_every_kind():
    dimensions = {operator.window.dimensions for operator in operators(quick.SUITE)}
    assert dimensions == {2, 3}
    rules = {o.rule for o in operators(quick.SUITE) if isinstance(o, Convolution)}
    assert rules == {"full", "submanifold", "sparsity_invariant"}
    assert any(isinstance(operator, MaxPooling) for operator in operators(quick.SUITE))
    kinds = {type(workload.input) for workload in quick.SUITE.workloads()}
    assert kinds == {patterns.Uniform, patterns.PenStrokes, patterns.Blobs, patterns.Shell}
    for grids in (2, 3):
        densities = {
            workload.input.density
            for workload in quick.SUITE.workloads()
            if isinstance(workload.input, patterns.Uniform)
            and len(workload.input.grid_size) == grids
        }
        assert len(densities) >= 3


LAYERS = layers.SUITE.workloads()


def uniform(dimensions, **wanted):
    """Layers on uniform sites, by what they have in common."""
    return [
        workload
        for workload in LAYERS
        if isinstance(workload.input, patterns.Uniform)
        and len(workload.input.grid_size) == dimensions
        and all(
            getattr(workload.network.single_operator, name, None) == value
            for name, value in wanted.items()
        )
    ]


@pytest.mark.parametrize(
    ("dimensions", "grids"), [(2, (48, 96, 192, 384, 768)), (3, (32, 64, 128))]
)
def test_layers_has_every_grid_size_at_every_density(dimensions, grids):
    found = {
        (workload.input.grid_size, workload.input.density)
        for workload in uniform(dimensions, rule="submanifold")
    }
    for grid in grids:
        for density in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0):
            assert ((grid,) * dimensions, density) in found


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_has_1_to_256_channels(dimensions):
    channels = {workload.channels for workload in uniform(dimensions, rule="submanifold")}
    assert channels == {1, 4, 8, 16, 32, 64, 128, 256}
    for count in channels:
        densities = {
            workload.input.density
            for workload in uniform(dimensions, rule="submanifold", in_channels=count)
        }
        assert densities >= {0.01, 0.05, 0.2, 0.5, 1.0}


@pytest.mark.parametrize("dimensions", [2, 3])
def test_layers_has_kernels_2_3_5_with_strides_1_and_2(dimensions):
    found = {
        (
            workload.network.single_operator.window.kernel_size[0],
            workload.network.single_operator.window.stride[0],
            workload.input.density,
        )
        for workload in uniform(dimensions, rule="full")
    }
    for kernel in (2, 3, 5):
        for stride in (1, 2):
            for density in (0.01, 0.05, 0.2, 0.5, 1.0):
                assert (kernel, stride, density) in found


def test_layers_has_the_same_strokes_on_doubled_grids():
    strokes = [workload for workload in LAYERS if isinstance(workload.input, patterns.PenStrokes)]
    assert [workload.input.grid_size[0] for workload in strokes] == [48, 96, 192, 384, 768]
    assert len({workload.group for workload in strokes}) == 1
    assert [workload.position for workload in strokes] == [48, 96, 192, 384, 768]


def test_layers_has_the_other_operators_and_patterns():
    found = {
        (type(workload.network.single_operator).__name__, len(grid_of(workload.input)))
        for workload in LAYERS
    }
    assert {("MaxPooling", 2), ("MaxPooling", 3)} <= found
    assert uniform(2, rule="sparsity_invariant")
    kinds = {type(workload.input) for workload in LAYERS}
    assert {patterns.Blobs, patterns.Shell} <= kinds


def test_names_say_dimensions_channels_and_grid_of_the_layers():
    for workload in LAYERS:
        grid = grid_of(workload.input)
        assert workload.name.startswith(f"{len(grid)}d-")
        assert f"-grid{grid[0]}-" in workload.name
        assert f"-c{workload.channels}" in workload.name


EXAMPLE = Workload(
    "example",
    Network(
        (
            Layer("one", convolution(2, "full", 3, 4, 3, 1, 1)),
            Layer("two", max_pooling(2, 2, 2), ("one",)),
        ),
        grid_size=(48, 48),
    ),
    patterns.PenStrokes((48, 48), 2, 32),
    channels=3,
)


def changed(value):
    """Every value that differs from this one in a single place, with the place's name."""
    match value:
        case bool():
            yield "flipped", not value
        case StrEnum():
            yield from ((str(other), other) for other in type(value) if other is not value)
        case int() | float():
            yield "plus 1", value + 1
        case str():
            yield "renamed", value + "x"
        case tuple():
            for index, entry in enumerate(value):
                for place, other in changed(entry):
                    yield f"{index}.{place}", (*value[:index], other, *value[index + 1 :])
        case _:
            yield from changed_fields(value)


def changed_fields(value):
    for field in dataclasses.fields(value):
        for place, other in changed(getattr(value, field.name)):
            with contextlib.suppress(UserError):
                variant = dataclasses.replace(value, **{field.name: other})
                yield f"{field.name}.{place}", variant


WITHOUT_SAY = {"name.renamed", "group.renamed", "position.plus 1", "axis.renamed"}
CHANGES = dict(changed(EXAMPLE))


def test_every_kind_of_field_is_among_the_changes():
    assert CHANGES.keys() > WITHOUT_SAY
    assert len(CHANGES) > 25
    assert {
        "background.ground_state",
        "channels.plus 1",
        "seed.plus 1",
        "input.grid_size.0.plus 1",
        "input.batch_size.plus 1",
        "input.scale.plus 1",
        "input.characters.plus 1",
        "network.layers.0.operator.rule.sparsity_invariant",
        "network.layers.0.operator.out_channels.plus 1",
        "network.grid_size.0.plus 1",
        "network.layers.0.operator.bias.flipped",
        "network.layers.0.operator.window.kernel_size.0.plus 1",
        "network.layers.0.operator.window.padding.1.plus 1",
        "network.layers.1.operator.window.dilation.1.plus 1",
    } <= CHANGES.keys()


@pytest.mark.parametrize("place", sorted(CHANGES.keys() - WITHOUT_SAY))
def test_changing_any_field_changes_the_version(place):
    assert CHANGES[place].version() != EXAMPLE.version()


def test_no_two_changes_share_a_version():
    versions = [CHANGES[place].version() for place in CHANGES.keys() - WITHOUT_SAY]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("place", sorted(WITHOUT_SAY))
def test_how_a_workload_is_called_and_grouped_does_not_change_its_version(place):
    assert CHANGES[place].version() == EXAMPLE.version()


def test_another_kind_of_input_with_the_same_fields_has_another_version():
    @dataclasses.dataclass(frozen=True)
    class Other:
        grid_size: tuple
        batch_size: int
        density: float
        version = patterns.Uniform.version

    def version(kind):
        return Workload("w", single(max_pooling(2, 2, 2)), kind((8, 8), 1, 0.5), 3).version()

    assert version(patterns.Uniform) != version(Other)


def test_a_new_version_of_the_generator_is_a_new_version_of_the_workload():
    class Later(patterns.PenStrokes):
        version = patterns.PenStrokes.version + 1

    Later.__name__ = "PenStrokes"
    later = dataclasses.replace(EXAMPLE, input=Later((48, 48), 2, 32))
    assert later.definition()["input"]["kind"] == EXAMPLE.definition()["input"]["kind"]
    assert later.version() != EXAMPLE.version()


def test_a_version_is_twelve_hexadecimal_digits_and_stays_the_same():
    assert EXAMPLE.version() == "48b9970e002b"


def test_a_definition_is_plain_data():
    definition = EXAMPLE.definition()
    assert msgspec.json.decode(msgspec.json.encode(definition)) == definition
    assert definition["network"]["layers"][0]["operator"]["window"]["kernel_size"] == [3, 3]


def test_a_suite_makes_no_batch_until_it_is_asked(monkeypatch):
    def fail(*arguments, **keywords):
        raise AssertionError("a batch was made")

    for kind in (patterns.Uniform, patterns.PenStrokes, patterns.Blobs, patterns.Shell):
        monkeypatch.setattr(kind, "batch", fail)
    for suite in SUITES.values():
        assert isinstance(suite, Suite)
        assert suite.workloads()


def test_seeds_of_features_are_the_workloads():
    first, second = (EXAMPLE.input.batch(3, seed) for seed in (0, 1))
    assert not torch.equal(first.features[:10], second.features[:10])


def test_voxels_range_from_fifty_to_five_hundred_thousand_on_16_to_256_channels():
    surfaces = [w for w in voxels.SUITE.workloads() if isinstance(w.input, patterns.Shell)]
    batches = {w.input for w in surfaces}
    counts = {batch.batch_size: len(batch.batch(1, 0).coordinates) for batch in batches}
    assert set(counts) == {1, 2, 4, 8}
    assert 50_000 < counts[1] < 60_000
    assert 440_000 < counts[8] < 500_000
    assert {w.channels for w in surfaces} == {16, 32, 64, 128, 256}
