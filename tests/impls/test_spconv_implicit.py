"""The GPU's half of spconv's adapter, on stand-ins that do what spconv's functions are there for.

This says that the adapter asks for the right things in the right places, nothing of spconv's kernels:
those are checked where there is a GPU.
"""

import inspect

import libraries
import pytest
import torch

from bench.batch import SparseBatch
from bench.conformance.cases import all_cases
from bench.conformance.checks import Result, check, check_batch
from bench.dtypes import products_in
from bench.operators import Convolution, Rule, convolution
from bench.sites import neighbours, output_sites
from bench.window import Window
from impls.spconv import LIBRARY, Spconv

if LIBRARY.why_unusable() is not None:
    pytest.skip(str(LIBRARY.why_unusable()), allow_module_level=True)

from spconv import constants  # only where it can be imported
from spconv.pytorch import functional, ops

from impls import spconv_modules

CASES = [case for case in all_cases(("float64",)) if case.density][::5]


def stand_in_pairs(indices, batch_size, spatial_shape, algo, ksize, stride, padding, dilation,
                   out_padding, *, subm, is_train, direct_table):  # fmt: skip
    """Both tables; the inverse of a submanifold map only for gradients, as spconv has it."""
    assert direct_table == (subm or max(dilation) == 1)
    rule = Rule.SUBMANIFOLD if subm else Rule.FULL
    window = Window(tuple(ksize), tuple(stride), tuple(padding), tuple(dilation))
    batch = SparseBatch(indices, torch.zeros(len(indices), 1), batch_size, tuple(spatial_shape))
    order = batch.keys().argsort()
    outputs = indices if subm else output_sites(Convolution(rule, 1, 1, window), batch)
    seen, _ = neighbours(window, outputs, batch.sorted())
    table = torch.where(seen >= 0, order[seen], -1).T
    inverse = torch.full((len(table), len(indices)), -1)
    for offset, rows in enumerate(table):
        inverse[offset, rows[rows >= 0]] = (rows >= 0).nonzero().squeeze(1)
    one_way = subm and not is_train
    return (
        outputs,
        None,
        table.int(),
        torch.tensor([]) if one_way else inverse.int(),
        ["masks"],
        [] if subm else ["inverse masks"],
        ["order"],
        [] if subm else ["inverse order"],
        "splits",
    )


def multiply(features, weight, table):
    """Sum over each offset's rows; -1 reads a row of zeros."""
    padded = torch.nn.functional.pad(features, (0, 0, 0, 1))
    return torch.einsum("knc,okc->no", padded[table.long()], weight.flatten(1, -2))


@pytest.fixture
def subject(monkeypatch):
    """The adapter, which takes a CPU's sites for those of a GPU."""
    pairs = inspect.signature(ops.get_indice_pairs_implicit_gemm)
    without = inspect.signature(ops.implicit_gemm)
    recorded = inspect.signature(functional.SparseImplicitGemmFunction.forward)

    def get_pairs(*arguments, **named):
        pairs.bind(*arguments, **named)
        return stand_in_pairs(*arguments, **named)

    def without_gradients(*arguments, bias):
        given = without.bind(*arguments).arguments
        assert not given["is_train"]
        assert given["masks"] == "splits"
        assert given["num_activate_out"] == given["pair_fwd"].shape[1]
        inverse = given["pair_mask_fwd_splits"] == ["inverse masks"]
        assert given["mask_argsort_fwd_splits"] == ["inverse order" if inverse else "order"]
        sums = multiply(given["features"], given["filters"], given["pair_fwd"])
        return sums if bias is None else sums + bias, None, None

    def with_gradients(*arguments):
        given = recorded.bind(None, *arguments).arguments
        assert given["is_train"]
        forth, back = given["pair_mask_fwd_splits"], given["pair_mask_bwd_splits"]
        assert given["is_subm"] == (back == [])
        assert given["is_subm"] or {*forth, *back} == {"masks", "inverse masks"}
        assert given["pair_bwd"].shape == (len(given["pair_fwd"]), len(given["features"]))
        return multiply(given["features"], given["filters"], given["pair_fwd"])

    def pool(features, table, count):
        assert table.shape[1] == count
        lowest = torch.full((1, features.shape[1]), -torch.inf, dtype=features.dtype)
        return torch.cat([features, lowest])[table.long()].amax(0)

    monkeypatch.setattr(ops, "get_indice_pairs_implicit_gemm", get_pairs)
    monkeypatch.setattr(ops, "implicit_gemm", without_gradients)
    monkeypatch.setattr(functional, "implicit_gemm", with_gradients)
    monkeypatch.setattr(ops, "indice_maxpool_implicit_gemm", pool)
    monkeypatch.setattr(spconv_modules, "is_implicit", lambda sites, window: True)
    monkeypatch.setattr(spconv_modules, "NativeMap", None)
    return Spconv()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_operator_is_right(subject, case):
    outcome = check(subject, case)
    assert outcome.result is Result.PASSED, outcome.reason


def test_a_network_down_and_up_is_right(subject, random_batch):
    outcome = check_batch(subject, libraries.u_shaped(2), random_batch((12, 14)))
    assert outcome.result is Result.PASSED, outcome.reason


def test_float32_is_rounded_where_torch_lets_it_be(subject, random_batch, monkeypatch):
    operator = convolution(2, "submanifold", 3, 5, 3)
    module = subject.convolution(operator, torch.ones(operator.weight_shape), None)
    native = subject.encode(random_batch(dtype=torch.float32))
    monkeypatch.setattr(constants, "SPCONV_ALLOW_TF32", None)
    for name, allowed in (("tf32", True), ("float32", False)):
        with products_in(name), torch.no_grad():
            module(native)
        assert constants.SPCONV_ALLOW_TF32 is allowed
