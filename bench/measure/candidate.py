"""One implementation in one worker: built, verified, and turned into steps that can be timed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch, linear_keys
from bench.build import Answer, BuiltNetwork, Mark, Weights, nobody
from bench.expected import Expectation
from bench.ground_state import build
from bench.implementation import Implementation, Native, overrides
from bench.network import Network
from bench.operators import BatchNorm, Dropout, Weighted
from bench.phases import Phase
from bench.verification import (
    background_fault,
    constant_fault,
    gradient_fault,
    output_fault,
    run_with_gradients,
)

FRESH_BATCHES = 8, 64
"""Copying the input for every call costs time that is not measured, and for the shortest calls many
times what is: so many for one sample, and for one visit."""


ALIKE = 0.05
"""Of a gradient: by how much rounding may change it at most, in any type."""
Parts = list[tuple[Tensor, int]]
"""What an output holds, and at how many sites it holds each of it."""


class IncorrectError(Exception):
    """An implementation returned something else than the oracle; the message says what."""


@dataclass(frozen=True)
class Step:
    """A timed region and what surrounds it.

    Attributes:
        prepare: makes the argument of one call, outside of the timed region.
        call: the timed region.
        check: raises `IncorrectError` where the last timed call's result is wrong.
        most_calls: how many arguments may be made for one sample, and for one visit.
        marked: the same call, which tells a mark the name of every layer that is done; None where
            there are no layers to tell apart.
        renew: makes what the calls share anew, so that it lies elsewhere in memory.
        ablations: makes calls that lack one part each, by the part's name; None for networks.
    """

    prepare: Callable[[], Any]
    call: Callable[[Any], Any]
    check: Callable[[Any], None]
    most_calls: tuple[int, int] = (64, 1024)
    marked: Callable[[Any, Mark], Any] | None = None
    renew: Callable[[], None] = lambda: None
    ablations: Callable[[], Mapping[str, Callable[[], object]]] | None = None


class Candidate:
    """An implementation with a workload's weights, input and expectation.

    Phases with gradients run a network in training: its batch norms use the batch's statistics. It is
    another one than the network in evaluation, whose running statistics must not drift. Dropout is
    on in what is timed, and off in what is checked, as no two implementations would draw alike; where
    the ground state is kept it is off in both.
    """

    def __init__(
        self,
        implementation: Implementation,
        network: Network,
        weights: Weights,
        batch: SparseBatch,
        expectation: Expectation,
        background: Background = Background.ZERO,
    ) -> None:
        self.implementation = implementation
        self.given = batch
        # Whoever writes to what it is given writes to what is its own.
        self.batch = batch.copied().with_features(batch.features.clone())
        weights = {name: layer.copied() for name, layer in weights.items()}
        self.expectation = expectation
        self.dtype = batch.features.dtype
        self.has_layers = network.single_operator is None
        weighted = any(isinstance(layer.operator, Weighted) for layer in network.layers)
        self.gradient_at_input = not self.has_layers or not weighted
        self.drops_out = background is Background.ZERO

        def make() -> BuiltNetwork:
            device = batch.features.device
            return build(implementation, network, weights, self.dtype, device, background)

        self.built = make()
        trains_otherwise = any(
            isinstance(layer.operator, BatchNorm | Dropout) for layer in network.layers
        )
        self.trained = make() if trains_otherwise else self.built
        with torch.no_grad():
            self.native = implementation.encode(self.batch.copied())
        self._is_warm = False

    def tune_outputs(self) -> None:
        """Have the implementation tune itself for calls without gradients, if it ever does."""
        if not overrides(self.implementation, "tune"):
            return
        with torch.no_grad():
            self.implementation.tune(lambda: self._encode_and_run(self.batch.copied()))
            self._encode_again()

    def tune_gradients(self) -> None:
        """Have the implementation tune itself for calls with gradients, if it ever does."""
        with torch.enable_grad():
            self.implementation.tune(self._run_with_gradients)

    def verify_outputs(self) -> None:
        """Check encode, a first and a second warm call, and a cold one.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.no_grad():
            self._check_encoded(self.native)
            for which in ("first call", "second call"):
                self._check_answer(self.built.answer(self.native), which)
            self._is_warm = True
            self._check_that_it_computes()
            cold = self.implementation.encode(self.batch.copied())
            self._check_answer(self.built.answer(cold), "cold call")
            self._check_that_it_builds_maps()
            dropped = self.implementation.without_maps(self.native)
            self._check_answer(self.built.answer(dropped), "call without cached maps")

    def verify_first_call(self) -> None:
        """Check encode and one warm call, of what has been found right in another process.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.no_grad():
            self._check_encoded(self.native)
            self._check_answer(self.built.answer(self.native), "first call in another process")
            self._is_warm = True

    def verify_gradients(self) -> None:
        """Check the output of a recorded pass and every gradient.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        expectation = self.expectation
        with torch.enable_grad():
            output, gradients = self._run_with_gradients()
        fault = output_fault(expectation.in_training, output, self.dtype)
        fault = fault or gradient_fault(expectation, gradients, self.dtype)
        if fault is not None:
            raise IncorrectError(fault)

    def _run_with_gradients(self) -> tuple[SparseBatch, dict[str, Tensor]]:
        expectation = self.expectation
        return run_with_gradients(
            self._in_training(dropout=False),
            self.batch,
            expectation.upstream,
            expectation.background_upstream,
        )

    def step(self, phase: Phase) -> Step:
        """Make the timed region of a phase."""
        return {
            Phase.ENCODE: self._encode_step,
            Phase.MAP: self._map_step,
            Phase.FORWARD: self._forward_step,
            Phase.BACKWARD: self._backward_step,
            Phase.DECODE: self._decode_step,
            Phase.FORWARD_COLD: self._forward_cold_step,
            Phase.TRAIN_STEP: self._train_step,
        }[phase]()

    def _encode_step(self) -> Step:
        return Step(
            self.batch.copied, self.implementation.encode, self._check_encoded, FRESH_BATCHES
        )

    def _map_step(self) -> Step:
        module = next(iter(self.built.layers.values()))

        def build(native: Native) -> Native:
            self.implementation.build_map(module, native)
            return native

        return Step(
            lambda: self.implementation.without_maps(self.native),
            build,
            lambda native: self._check_answer(self.built.answer(native), "call after build_map"),
            renew=self._encode_again,
        )

    def _encode_again(self) -> None:
        self.native = self.implementation.encode(self.batch.copied())
        self._is_warm = False

    def _encode_and_warm_up(self) -> None:
        self._encode_again()
        self._warm_up()

    def _warm_up(self) -> None:
        """Have the native tensor hold the maps that a warm call finds there."""
        if not self._is_warm:
            self.built.answer(self.native)
            self._is_warm = True

    def _forward_step(self) -> Step:
        self._warm_up()
        return Step(
            lambda: self.native,
            self._run,
            lambda answer: self._check_answer(answer, "last timed call"),
            marked=self._run if self.has_layers else None,
            renew=self._encode_and_warm_up,
            ablations=None if self.has_layers else self._ablations,
        )

    def _ablations(self) -> Mapping[str, Callable[[], object]]:
        module = next(iter(self.built.layers.values()))
        return self.implementation.ablations(module, self.native)

    def _decode_step(self) -> Step:
        output = self.built(self.native)

        def renew() -> None:
            nonlocal output
            output = self.built(self.native)

        return Step(
            lambda: output,
            self.implementation.decode,
            lambda batch: self._check_batch(batch, "last timed call"),
            renew=renew,
        )

    def _forward_cold_step(self) -> Step:
        if self.implementation.starts_dense:
            prepare: Callable[[], Any] = self._native_without_maps
            call: Callable[..., Answer] = self._run
        else:
            prepare = self.batch.copied
            call = self._encode_and_run
        return Step(
            prepare,
            call,
            lambda answer: self._check_answer(answer, "last timed call"),
            FRESH_BATCHES,
            call if self.has_layers else None,
            self._renewal(),
        )

    def _renewal(self) -> Callable[[], None]:
        """How to make anew what cold calls share: the native tensor, where they start from it."""
        return self._encode_again if self.implementation.starts_dense else lambda: None

    def _run(self, native: Native, mark: Mark = nobody) -> Answer:
        """Run the network until its values are there, of one that would put that off, too."""
        answer = self.built.answer(native, mark)
        self.implementation.features(answer.native)
        return answer

    def _encode_and_run(self, batch: SparseBatch, mark: Mark = nobody) -> Answer:
        native = self.implementation.encode(batch)
        mark(str(Phase.ENCODE))
        return self._run(native, mark)

    def _native_without_maps(self) -> Native:
        return self.implementation.without_maps(self.native)

    def _backward_step(self) -> Step:
        implementation = self.implementation
        network = self._in_training(dropout=self.drops_out)

        def record() -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
            with torch.enable_grad():
                features = self._leaf(implementation.features(self.native))
                native = implementation.with_features(self.native, features)
                parts = self._at_every_site(network.answer(native))
            outputs = [values for values, _ in parts]
            upstreams = [values.detach() * sites for values, sites in parts]
            return outputs, self._leaves(network, features), upstreams

        recorded = record()

        def renew() -> None:
            nonlocal recorded
            recorded = record()

        def call(_: None) -> tuple[Tensor, ...]:
            return torch.autograd.grad(*recorded, retain_graph=True)

        def check(last: tuple[Tensor, ...]) -> None:
            for upstream in recorded[2]:
                upstream.data.neg_()
            for before, after in zip(last, call(None), strict=True):
                if before.any() and torch.equal(before, after):
                    raise IncorrectError(
                        "its upstream was changed, but it returned a gradient again: it remembers them"
                    )
            self.verify_gradients()

        return Step(lambda: None, call, check, renew=renew)

    def _train_step(self) -> Step:
        implementation = self.implementation
        network = self._in_training(dropout=self.drops_out)

        def run(native: Native, leaf: Tensor) -> tuple[Parts, list[Tensor]]:
            return self._at_every_site(network.answer(native)), self._leaves(network, leaf)

        def from_batch(batch: SparseBatch) -> tuple[Parts, list[Tensor]]:
            leaf = self._leaf(batch.features)
            return run(implementation.encode(batch.with_features(leaf)), leaf)

        def from_native(native: Native) -> tuple[Parts, list[Tensor]]:
            leaf = self._leaf(implementation.features(native))
            return run(implementation.with_features(native, leaf), leaf)

        start: Callable[[Any], tuple[Parts, list[Tensor]]] = from_batch
        prepare: Callable[[], Any] = self.batch.copied
        if implementation.starts_dense:
            start, prepare = from_native, self._native_without_maps

        def call(given: object) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                ((values, _), *rest), leaves = start(given)
                loss = values.sum()
                for constant, sites in rest:
                    loss = loss + constant.sum() * sites
                return torch.autograd.grad(loss, leaves)

        def check(last: tuple[Tensor, ...]) -> None:
            self.verify_gradients()
            if self.has_layers:
                return  # rounding may be all that such a loss leaves behind a batch norm
            with torch.enable_grad():
                _check_gradients_of_sum(last, *start(prepare()))

        return Step(prepare, call, check, FRESH_BATCHES, renew=self._renewal())

    def _in_training(self, *, dropout: bool) -> BuiltNetwork:
        """The network that gradients are taken of."""
        if self.trained is not self.built:
            self.trained.training_with(dropout=dropout)
        return self.trained

    def _at_every_site(self, answer: Answer) -> Parts:
        """What the output holds and, if that is rows, what all other sites do and their number."""
        features = self.implementation.features(answer.native)
        if answer.background is None or features.ndim > 2:
            return [(features, 1)]
        all_sites = self.batch.batch_size * math.prod(self.expectation.grid_size)
        return [(features, 1), (answer.background, all_sites - len(features))]

    def _leaf(self, features: Tensor) -> Tensor:
        """The input, recorded only where gradients are taken at it."""
        return features.detach().requires_grad_(self.gradient_at_input)

    def _leaves(self, network: BuiltNetwork, features: Tensor) -> list[Tensor]:
        """What gradients are taken at: weights, and for a single operator its input too."""
        leaves = [tensor for _, _, tensor in network.leaves()]
        return [features, *leaves] if self.gradient_at_input else leaves

    def _check_encoded(self, native: Native) -> None:
        decoded = self.implementation.decode(native)
        same = (
            decoded.grid_size == self.given.grid_size
            and torch.equal(decoded.coordinates, self.given.coordinates)
            and torch.equal(decoded.features, self.given.features)
        )
        if not same:
            raise IncorrectError("decode(encode(batch)) is not the batch")

    def _check_that_it_computes(self) -> None:
        """Negate the features where they lie: who returns the same has remembered it.

        Only of a single operator, which has no rectifier that could be off for both, and where the
        native tensor lets its features be changed. They are changed as no version of them tells.
        """
        values = self.implementation.features(self.native)
        if self.has_layers or not values.any():
            return
        before, kept = self._rows_of_answer(), values.clone()
        try:
            values.data.neg_()
            if not torch.equal(self.implementation.features(self.native), values):
                return  # they are a copy
            if before.any() and torch.equal(self._rows_of_answer(), before):
                raise IncorrectError(
                    "its features were changed, but it returned the same result: it remembers answers"
                )
        finally:
            values.data.copy_(kept)

    def _check_that_it_builds_maps(self) -> None:
        """Mirror the sites where they lie: who maps them as before has known them by their place.

        Timed cold calls get new coordinates, but at addresses used before, and the same features.
        """
        batch = self.batch.copied()
        mirrored = batch.coordinates.clone()
        mirrored[:, -1] = batch.grid_size[-1] - 1 - mirrored[:, -1]
        mirrored = mirrored[linear_keys(mirrored, batch.grid_size).argsort()]
        others = replace(batch, coordinates=mirrored, features=batch.features.clone())
        before = self._rows_of_cold_call(batch)
        batch.coordinates.data.copy_(mirrored)
        remembers = torch.equal(self._rows_of_cold_call(batch), before)
        if remembers and not torch.equal(self._rows_of_cold_call(others), before):
            raise IncorrectError(
                "its coordinates were changed, but it returned the same result: it remembers maps"
            )

    def _rows_of_cold_call(self, batch: SparseBatch) -> Tensor:
        return self.implementation.decode(self._encode_and_run(batch).native).features.clone()

    def _rows_of_answer(self) -> Tensor:
        return self.implementation.decode(self.built.answer(self.native).native).features

    def _check_answer(self, answer: Answer, which: str) -> None:
        output = self.implementation.decode(answer.native)
        self._check_batch(output, which)
        values = self.implementation.features(answer.native)
        expected = self.expectation.background
        fault = None
        if values.ndim > 2:
            fault = background_fault(values, output, expected)
        elif expected is not None and answer.background is not None:
            fault = constant_fault(answer.background, expected)
        if fault is not None:
            raise IncorrectError(f"{which}: {fault}")

    def _check_batch(self, output: SparseBatch, which: str) -> None:
        fault = output_fault(self.expectation, output, self.dtype)
        if fault is not None:
            raise IncorrectError(f"{which}: {fault}")


def _check_gradients_of_sum(found: tuple[Tensor, ...], parts: Parts, leaves: list[Tensor]) -> None:
    """Take the gradients of as many ones, each in memory of its own.

    Raises:
        IncorrectError: if those of the sum are others.
    """
    ones = [torch.full_like(values, sites) for values, sites in parts]
    wanted = torch.autograd.grad([values for values, _ in parts], leaves, ones)
    for one, other in zip(found, wanted, strict=True):
        if not (one - other).norm() <= ALIKE * other.norm():
            raise IncorrectError(
                "gradients of the output's sum, whose upstream is a single one in memory, differ from "
                "those of as many ones"
            )
