import pytest

from bench.conformance.cases import all_cases
from bench.conformance.checks import Result, check, check_batch
from bench.conformance.properties import check_properties
from bench.network import single
from bench.operators import convolution, max_pooling
from impls.dense import Dense, DenseFromSparse
from impls.gather import Gather
from impls.masked import Masked

HALF_TYPES = {"bfloat16", "float16"}
EXACT_CASES = [case for case in all_cases() if case.dtype not in HALF_TYPES]
HALF_CASES = [case for case in all_cases() if case.dtype in HALF_TYPES][::7]


def subjects():
    """Pairs of implementation and case; `dense_from_sparse` shares its modules with `dense`."""
    for implementation in (Dense(), Masked(), Gather()):
        yield from ((implementation, case) for case in (*EXACT_CASES, *HALF_CASES))
    yield from ((DenseFromSparse(), case) for case in (*EXACT_CASES[::25], *HALF_CASES[::5]))


@pytest.mark.parametrize(
    ("implementation", "case"),
    [pytest.param(*subject, id=f"{subject[0].name}-{subject[1]}") for subject in subjects()],
)
def test_every_operator_is_right(implementation, case):
    outcome = check(implementation, case)
    if outcome.result is Result.UNSUPPORTED and case.dtype in HALF_TYPES:
        pytest.skip(outcome.reason)
    assert outcome.result is Result.PASSED, outcome.reason


def test_the_cases_cover_every_operator_axis_density_and_type():
    cases = all_cases()
    kinds = {case.operator.split("-")[0] for case in cases}
    assert kinds == {
        "full",
        "submanifold",
        "sparsity_invariant",
        "max_pooling",
        "inverse",
        "network",
        "ground_state",
    }
    for kind in kinds:
        of_kind = [case for case in cases if case.operator.startswith(kind)]
        assert {len(case.grid_size) for case in of_kind} == {2, 3}
        assert {case.density for case in of_kind} >= {0, 1}
        assert {case.dtype for case in of_kind} == {"float32", "float64"} | HALF_TYPES
    assert len({str(case) for case in cases}) == len(cases)


@pytest.mark.parametrize(
    ("implementation", "dtype"),
    [(Dense(), "float64"), (Dense(), "float32"), (Masked(), "float64"), (Gather(), "float64")],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_drawn_geometry_and_site_set_is_right(implementation, dtype):
    outcome = check_properties(implementation, dtype, examples=60)
    assert outcome.result is Result.PASSED, outcome.reason


ON_PADDING = ((1, 2), 1, (0, 1), (1, 2))
"""Kernel, stride, padding, dilation: on a grid one site wide both taps fall on padding."""


@pytest.mark.parametrize(
    ("implementation", "operator"),
    [
        pytest.param(Dense(), convolution(2, "full", 2, 3, *ON_PADDING), id="dense-full"),
        pytest.param(Dense(), max_pooling(2, *ON_PADDING), id="dense-pooling"),
        pytest.param(
            Masked(),
            convolution(2, "full", 2, 3, *ON_PADDING),
            id="masked-full",
        ),
        pytest.param(Masked(), max_pooling(2, *ON_PADDING), id="masked-pooling"),
        pytest.param(Gather(), convolution(2, "full", 2, 3, *ON_PADDING), id="gather-full"),
        pytest.param(Gather(), max_pooling(2, *ON_PADDING), id="gather-pooling"),
    ],
)
def test_a_window_that_lies_on_padding_alone_is_inactive_and_zero(
    implementation, operator, random_batch
):
    batch = random_batch((4, 1), density=0.5, channels=2)
    outcome = check_batch(implementation, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason


class DropsATap(Gather):
    """Loses the last kernel offset's pairs."""

    name = "drops_a_tap"

    def convolution(self, operator, weight, bias):
        weight = weight.clone()
        weight[(..., *(-1,) * operator.window.dimensions)] = 0
        return super().convolution(operator, weight, bias)


class LeavesBiasEverywhere(Dense):
    """Does not mask what the bias fills."""

    name = "leaves_bias_everywhere"

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        forward = module.forward

        def unmasked(native):
            result = forward(native)
            if bias is None:
                return result
            spread = module.bias.view(1, -1, *(1,) * operator.window.dimensions)
            return result._replace(values=result.values + spread * ~result.sites.mask)

        module.forward = unmasked
        return module


@pytest.mark.parametrize(
    "implementation", [DropsATap(), LeavesBiasEverywhere()], ids=lambda i: i.name
)
def test_what_is_wrong_fails_a_systematic_case(implementation):
    cases = [case for case in all_cases(("float64",)) if case.operator.startswith("full")]
    assert any(not check(implementation, case).passed for case in cases)


def test_what_is_wrong_fails_a_drawn_case_and_the_smallest_is_named():
    outcome = check_properties(LeavesBiasEverywhere(), examples=60)
    assert outcome.result is Result.FAILED
    for words in ("operator Convolution", "grid (", "coordinates ["):
        assert words in outcome.reason


def test_who_raises_fails_with_the_place():
    class Raising(Gather):
        name = "raising"

        def encode(self, batch):
            raise ValueError("no such layout\nsecond line")

    outcome = check(Raising(), EXACT_CASES[0])
    assert outcome.result is Result.FAILED
    line = Raising.encode.__code__.co_firstlineno + 1
    assert outcome.reason == f"ValueError: no such layout (test_conformance.py:{line})"
