"""Element types by name; tf32, which torch has a switch for and no type."""

from contextlib import suppress

import pytest
import torch

from bench.dtypes import (
    DTYPES,
    TF32,
    matmul_precision,
    products_in,
    rounded,
    set_matmul_precision,
    tf32_is_allowed,
    torch_dtype,
)
from bench.errors import UserError

STEP = 2.0**-10
"""Between tf32's neighbours from 1 on."""


def switches():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def test_tf32_is_stored_as_float32():
    assert torch_dtype(TF32) is torch.float32


def test_an_unknown_type_is_refused_with_those_that_are_known():
    with pytest.raises(UserError, match=r"'tf64'; known are float32, .*, tf32$"):
        torch_dtype("tf64")


def test_rounding_to_tf32_keeps_ten_fraction_bits_and_breaks_ties_away_from_zero():
    given = torch.tensor(
        [1 + 0.49 * STEP, 1 + 0.5 * STEP, -1 - 0.5 * STEP, 1 + 1.4 * STEP, 0, 3e38]
    )
    wanted = torch.tensor([1, 1 + STEP, -1 - STEP, 1 + STEP, 0, 3e38])
    found = rounded(given, TF32)
    assert torch.equal(found[:-1], wanted[:-1])
    assert abs(found[-1] / wanted[-1] - 1) <= STEP / 2
    assert torch.equal(rounded(found, TF32), found)


@pytest.mark.parametrize("name", DTYPES)
def test_rounding_to_other_types_is_torchs(name):
    values = torch.randn(100, dtype=torch.float64)
    assert torch.equal(rounded(values, name), values.to(DTYPES[name]))


def test_torch_may_round_products_in_tf32_only_and_the_switches_are_put_back():
    before = switches()
    with suppress(ZeroDivisionError), products_in(TF32):
        assert switches() == ("high", True)
        with products_in("float32"):
            assert switches() == ("highest", False)
        assert switches() == ("high", True)
        raise ZeroDivisionError
    assert switches() == before


@pytest.fixture
def matmul():
    """Torch's switches; off again afterwards."""
    yield torch.backends.cuda.matmul
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("switch", ["allow_tf32", "fp32_precision"])
def test_either_of_torchs_switches_allows_tf32(matmul, switch):
    if not hasattr(matmul, switch):
        pytest.skip(f"torch {torch.__version__} has no {switch}")
    assert not tf32_is_allowed()
    setattr(matmul, switch, True if switch == "allow_tf32" else "tf32")
    assert tf32_is_allowed()


def test_what_torch_will_not_say_of_its_newer_switch_is_read_and_put_back(matmul):
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip(f"torch {torch.__version__} has no newer switch")
    matmul.fp32_precision = "tf32"
    before = matmul_precision()
    with products_in("float32"):
        assert not tf32_is_allowed()
    assert matmul_precision() == before
    assert tf32_is_allowed()
    set_matmul_precision("highest")
    assert matmul_precision() == torch.get_float32_matmul_precision() == "highest"
