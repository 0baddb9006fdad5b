"""The timed region of each phase: what a call is given, what it does, and what is checked of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.batch import SparseBatch
from bench.build import Answer, BuiltNetwork, Mark
from bench.implementation import Implementation, Native
from bench.measure.candidate import Candidate, IncorrectError
from bench.phases import Phase

FRESH_BATCHES = 8, 64
"""Most calls of a sample, and of a visit, where each call gets a copy of the input. Making the copies
is not timed, and takes many times as long as the shortest calls."""
GRADIENT_TOLERANCE = 0.05
"""The share of a gradient's norm that rounding may change, in any type."""
Parts = list[tuple[Tensor, int]]
"""What an output holds: values, and the number of sites that each of them stands for."""


@dataclass(frozen=True)
class Step:
    """A timed region and what surrounds it.

    Attributes:
        prepare: makes the argument of one call, outside of the timed region.
        call: the timed region.
        check: raises `IncorrectError` where the last timed call's result is wrong.
        most_calls: in one sample, and in one visit.
        marked: the same call, which also tells a mark the name of every layer when it is done; None
            for single operators.
        renew: makes what the calls share anew, so that it lies elsewhere in memory.
        ablations: makes calls that each lack one part, by the part's name; None for networks.
    """

    prepare: Callable[[], Any]
    call: Callable[[Any], Any]
    check: Callable[[Any], None]
    most_calls: tuple[int, int] = (64, 1024)
    marked: Callable[[Any, Mark], Any] | None = None
    renew: Callable[[], None] = lambda: None
    ablations: Callable[[], Mapping[str, Callable[[], object]]] | None = None


def step_of(candidate: Candidate, phase: Phase) -> Step:
    """Make the timed region of a phase."""
    return _STEPS[phase](candidate)


def _encode(candidate: Candidate) -> Step:
    return Step(
        candidate.batch.copied,
        partial(_encoded, candidate.implementation),
        candidate.check_encoded,
        FRESH_BATCHES,
    )


def _encoded(implementation: Implementation, batch: SparseBatch) -> Native:
    """Encode a batch until its values are there, even where they are computed only on demand."""
    native = implementation.encode(batch)
    implementation.features(native)
    return native


def _map(candidate: Candidate) -> Step:
    module = next(iter(candidate.built.layers.values()))

    def build(native: Native) -> Native:
        candidate.implementation.build_map(module, native)
        return native

    return Step(
        lambda: _encoded(candidate.implementation, candidate.batch.copied()),
        build,
        lambda native: candidate.check_answer(
            candidate.built.answer(native), "call after build_map"
        ),
        FRESH_BATCHES,
    )


def _forward(candidate: Candidate) -> Step:
    candidate.warm_up()

    def renew() -> None:
        candidate.encode_again()
        candidate.warm_up()

    return Step(
        candidate.native_handed_on,
        candidate.run,
        lambda answer: candidate.check_answer(answer, "last timed call"),
        marked=candidate.run if candidate.has_layers else None,
        renew=renew,
        ablations=None if candidate.has_layers else partial(_ablations, candidate),
    )


def _ablations(candidate: Candidate) -> Mapping[str, Callable[[], object]]:
    module = next(iter(candidate.built.layers.values()))
    return candidate.implementation.ablations(module, candidate.native)


def _decode(candidate: Candidate) -> Step:
    implementation = candidate.implementation
    output = candidate.built(candidate.native)

    def renew() -> None:
        nonlocal output
        output = candidate.built(candidate.native)

    def prepare() -> Native:
        """The output with values that nobody has decoded yet."""
        return implementation.with_features(output, implementation.features(output).clone())

    return Step(
        prepare,
        implementation.decode,
        lambda batch: candidate.check_batch(batch, "last timed call"),
        FRESH_BATCHES,
        renew=renew,
    )


def _forward_cold(candidate: Candidate) -> Step:
    if candidate.implementation.starts_dense:
        prepare: Callable[[], Any] = candidate.native_without_maps
        call: Callable[..., Answer] = candidate.run
    else:
        prepare = candidate.batch.copied
        call = candidate.encode_and_run
    return Step(
        prepare,
        call,
        lambda answer: candidate.check_answer(answer, "last timed call"),
        FRESH_BATCHES,
        call if candidate.has_layers else None,
        _renewal(candidate),
    )


def _renewal(candidate: Candidate) -> Callable[[], None]:
    """How to make anew what cold calls share: the native tensor, where they start from it."""
    return candidate.encode_again if candidate.implementation.starts_dense else lambda: None


def _backward(candidate: Candidate) -> Step:
    implementation = candidate.implementation
    network = candidate.in_training(dropout=candidate.drops_out)

    def record() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        with torch.enable_grad():
            features = _leaf(candidate, implementation.features(candidate.native))
            native = implementation.with_features(candidate.native, features)
            parts = _at_every_site(candidate, network.answer(native))
        outputs = [values for values, _ in parts]
        upstreams = [values.detach() * sites for values, sites in parts]
        return outputs, _leaves(candidate, network, features), upstreams

    recorded = record()

    def renew() -> None:
        nonlocal recorded
        recorded = record()

    def call(_: None) -> tuple[Tensor, ...]:
        return torch.autograd.grad(*recorded, retain_graph=True)

    def check(last: tuple[Tensor, ...]) -> None:
        again = record()
        first, second = (torch.autograd.grad(*again, retain_graph=True) for _ in range(2))
        if not _agree(first, second):
            raise IncorrectError("a second pass over one recording returns other gradients")
        for upstream in recorded[2]:
            upstream.data.neg_()
        for before, after in zip(last, call(None), strict=True):
            if before.any() and torch.equal(before, after):
                raise IncorrectError(
                    "its upstream was changed, but it returned a gradient again: it remembers them"
                )
        candidate.verify_gradients()

    return Step(lambda: None, call, check, renew=renew)


def _train_step(candidate: Candidate) -> Step:
    implementation = candidate.implementation
    network = candidate.in_training(dropout=candidate.drops_out)

    def run(native: Native, leaf: Tensor) -> tuple[Parts, list[Tensor]]:
        return _at_every_site(candidate, network.answer(native)), _leaves(candidate, network, leaf)

    def from_batch(batch: SparseBatch) -> tuple[Parts, list[Tensor]]:
        leaf = _leaf(candidate, batch.features)
        return run(implementation.encode(batch.with_features(leaf)), leaf)

    def from_native(native: Native) -> tuple[Parts, list[Tensor]]:
        leaf = _leaf(candidate, implementation.features(native))
        return run(implementation.with_features(native, leaf), leaf)

    start: Callable[[Any], tuple[Parts, list[Tensor]]] = from_batch
    prepare: Callable[[], Any] = candidate.batch.copied
    if implementation.starts_dense:
        start, prepare = from_native, candidate.native_without_maps

    def call(given: object) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            ((values, _), *rest), leaves = start(given)
            loss = values.sum()
            for constant, sites in rest:
                loss = loss + constant.sum() * sites
            return torch.autograd.grad(loss, leaves)

    def check(last: tuple[Tensor, ...]) -> None:
        candidate.verify_gradients()
        if candidate.has_layers:
            return  # rounding may be all that such a loss leaves behind a batch norm
        with torch.enable_grad():
            _check_gradients_of_sum(last, *start(prepare()))
        _check_that_the_features_are_read(candidate, last, lambda: call(prepare()))

    return Step(prepare, call, check, FRESH_BATCHES, renew=_renewal(candidate))


_STEPS = {
    Phase.ENCODE: _encode,
    Phase.MAP: _map,
    Phase.FORWARD: _forward,
    Phase.BACKWARD: _backward,
    Phase.DECODE: _decode,
    Phase.FORWARD_COLD: _forward_cold,
    Phase.TRAIN_STEP: _train_step,
}


def _at_every_site(candidate: Candidate, answer: Answer) -> Parts:
    """The output's values; and, if they are rows of active sites, those of all other sites."""
    features = candidate.implementation.features(answer.native)
    if answer.background is None or features.ndim > 2:
        return [(features, 1)]
    all_sites = candidate.batch.batch_size * math.prod(candidate.expectation.grid_size)
    return [(features, 1), (answer.background, all_sites - len(features))]


def _leaf(candidate: Candidate, features: Tensor) -> Tensor:
    """The input as a leaf of the graph; recorded only where gradients are taken at it."""
    return features.detach().requires_grad_(candidate.gradient_at_input)


def _leaves(candidate: Candidate, network: BuiltNetwork, features: Tensor) -> list[Tensor]:
    """What gradients are taken at: weights, and for a single operator its input too."""
    leaves = [tensor for _, _, tensor in network.leaves()]
    return [features, *leaves] if candidate.gradient_at_input else leaves


def _check_gradients_of_sum(found: tuple[Tensor, ...], parts: Parts, leaves: list[Tensor]) -> None:
    """Check the gradients of the output's sum, whose upstream is one number that stands for all.

    They must be those of an upstream that holds a one for every value.

    Raises:
        IncorrectError: if they differ.
    """
    ones = [torch.full_like(values, sites) for values, sites in parts]
    wanted = torch.autograd.grad([values for values, _ in parts], leaves, ones)
    if not _agree(found, wanted):
        raise IncorrectError(
            "gradients of the output's sum, whose upstream is a single one in memory, differ from "
            "those of as many ones"
        )


def _check_that_the_features_are_read(
    candidate: Candidate, last: tuple[Tensor, ...], again: Callable[[], tuple[Tensor, ...]]
) -> None:
    """Negate the features where timed calls find them: the weight's gradient must change.

    Raises:
        IncorrectError: if it does not.
    """
    implementation, features = candidate.implementation, candidate.batch.features
    if implementation.starts_dense:
        features = implementation.features(candidate.native)
    features.data.neg_()
    try:
        _, *at_weights = zip(last, again(), strict=True)
    finally:
        features.data.neg_()
    for before, after in at_weights[:1]:  # that of a bias does not depend on them
        if before.any() and torch.equal(before, after):
            raise IncorrectError(
                "its features were changed, but the weight's gradient stayed: it remembers them"
            )


def _agree(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> bool:
    """Whether gradients are the same but for rounding."""
    return all(
        bool((one - other).norm() <= GRADIENT_TOLERANCE * other.norm())
        for one, other in zip(found, wanted, strict=True)
    )
