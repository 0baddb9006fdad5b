"""One implementation in one worker: built with a workload's weights, tuned and verified."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch, linear_keys
from bench.build import Answer, BuiltNetwork, Mark, Weights, nobody
from bench.ground_state import build
from bench.implementation import Implementation, Native, overrides
from bench.network import Network
from bench.operators import Weighted
from bench.oracle.expectation import expect
from bench.oracle.expected import Expectation
from bench.oracle.verification import (
    background_fault,
    constant_fault,
    gradient_fault,
    output_fault,
    run_with_gradients,
)
from bench.phases import Phase


class IncorrectError(Exception):
    """An implementation returned something else than the oracle; the message says what."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A workload in one element type on one device: what is computed, and what is right.

    Attributes:
        network: what is computed.
        weights: in torch's layout.
        batch: the canonical input.
        expectation: what the oracle says to that.
        background: what inactive sites hold between the layers.
    """

    network: Network
    weights: Weights
    batch: SparseBatch
    expectation: Expectation
    background: Background = Background.ZERO


class Candidate:
    """An implementation with a workload's weights, input and expectation.

    Phases with gradients use a second network, which is in training mode: its batch norms use the
    batch's statistics, and the running statistics of the first must not drift. Timed calls have
    dropout; checked calls do not, as no two implementations would draw the same numbers. Where the
    ground state is kept, neither have.

    Attributes:
        problem: what is computed, and what is right; no implementation gets hold of it.
        given: the input.
        batch: a copy of it, which the implementation may spoil without harm to others.
        built: the network in evaluation.
        native: the encoded batch, which holds the kernel maps of earlier calls.
        has_layers: whether this is a network, and not a single operator.
        gradient_at_input: whether gradients at the input are timed: those of a single operator are,
            and those of a network that learns nothing.
        drops_out: whether timed calls have dropout.
    """

    def __init__(self, implementation: Implementation, problem: Problem) -> None:
        network, batch, background = problem.network, problem.batch, problem.background
        self.implementation = implementation
        self.problem = problem
        self.given = batch
        self.batch = batch.copied().with_features(batch.features.clone())
        weights = {name: layer.copied() for name, layer in problem.weights.items()}
        self.expectation = problem.expectation
        self.dtype = batch.features.dtype
        self.has_layers = network.single_operator is None
        weighted = any(isinstance(layer.operator, Weighted) for layer in network.layers)
        self.gradient_at_input = not self.has_layers or not weighted
        self.drops_out = background is Background.ZERO

        def make() -> BuiltNetwork:
            device = batch.features.device
            return build(implementation, network, weights, self.dtype, device, background)

        self._make = make
        self.built = make()
        with torch.no_grad():
            self.native = implementation.encode(self.batch.copied())
            if implementation.starts_dense and implementation.features(self.native).ndim <= 2:
                raise IncorrectError(
                    "it says `starts_dense`, but its native tensor holds rows: it takes them from a "
                    "sparse batch, and cold phases start there"
                )
        self._is_warm = False

    def tune_outputs(self) -> None:
        """Have the implementation tune itself for calls without gradients, if it ever does."""
        if not overrides(self.implementation, "tune"):
            return
        with torch.no_grad():
            self.implementation.tune(lambda: self.encode_and_run(self.batch.copied()))
            self.encode_again()

    def tune_gradients(self) -> None:
        """Have the implementation tune itself for calls with gradients, if it ever does."""
        self.implementation.tune(self._run_with_gradients)

    def verify_outputs(self) -> None:
        """Check encode, a first and a second warm call, and a cold one.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.no_grad():
            self.check_encoded(self.native)
            for which in ("first call", "second call"):
                self.check_answer(self.built.answer(self.native), which)
            self._is_warm = True
            self._check_that_it_computes()
            self._check_that_it_reads_weights()
            cold = self.implementation.encode(self.batch.copied())
            self.check_answer(self.built.answer(cold), "cold call")
            self._check_that_it_builds_maps()
            dropped = self.native_without_maps()
            self.check_answer(self.built.answer(dropped), "call without cached maps")

    def verify_first_call(self) -> None:
        """Check encode and one warm call, of what has been found right in another process.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.no_grad():
            self.check_encoded(self.native)
            self.check_answer(self.built.answer(self.native), "first call in another process")
            self._is_warm = True

    def verify_gradients(self, *, apart: bool = False) -> None:
        """Check the output of a recorded pass and every gradient.

        Args:
            apart: whether the upstream gradient is not contiguous.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        expectation = self.expectation
        output, gradients = self._run_with_gradients(apart=apart)
        fault = output_fault(expectation.in_training, output, self.dtype)
        fault = fault or gradient_fault(expectation, gradients, self.dtype)
        if fault is None:
            return
        if apart:
            self.verify_gradients()  # which says it, if that is not the reason
            fault = f"where the upstream gradient is not contiguous, {fault}"
        raise IncorrectError(fault)

    def _run_with_gradients(self, *, apart: bool = False) -> tuple[SparseBatch, dict[str, Tensor]]:
        expectation = self.expectation
        network = self.in_training(dropout=False)
        with torch.enable_grad():
            return run_with_gradients(
                network,
                self.batch,
                expectation.upstream,
                expectation.background_upstream,
                apart=apart,
            )

    def encode_again(self) -> None:
        """Make the native tensor anew, without maps and elsewhere in memory."""
        self.native = self.implementation.encode(self.batch.copied())
        self._is_warm = False

    def warm_up(self) -> None:
        """Make the native tensor hold the maps that a warm call finds there."""
        if not self._is_warm:
            self.built.answer(self.native)
            self._is_warm = True

    def run(self, native: Native, mark: Mark = nobody) -> Answer:
        """Run the network until its values are there, even where they are computed only on demand."""
        answer = self.built.answer(native, mark)
        self.implementation.features(answer.native)
        return answer

    def encode_and_run(self, batch: SparseBatch, mark: Mark = nobody) -> Answer:
        """Run the network on a batch, as a cold call does; encoding is marked like a layer."""
        native = self.implementation.encode(batch)
        mark(str(Phase.ENCODE))
        return self.run(native, mark)

    def native_handed_on(self) -> Native:
        """What a warm call is given: a native tensor that no call has seen, with the maps of `native`.

        Values lie where they lay, unless the implementation keeps them elsewhere.
        """
        return self.implementation.with_features(
            self.native, self.implementation.features(self.native)
        )

    def native_without_maps(self) -> Native:
        """What a cold call is given if it starts from the native tensor."""
        return self.implementation.without_maps(self.native)

    @cached_property
    def trained(self) -> BuiltNetwork:
        """The network in training, or while training without dropout is checked."""
        return self._make()

    def in_training(self, *, dropout: bool) -> BuiltNetwork:
        """The network that gradients are taken of."""
        return self.trained.training_with(dropout=dropout)

    def check_encoded(self, native: Native) -> None:
        """Check that a native tensor decodes to the batch.

        Raises:
            IncorrectError: if it does not.
        """
        decoded = self.implementation.decode(native)
        same = (
            decoded.grid_size == self.given.grid_size
            and torch.equal(decoded.coordinates, self.given.coordinates)
            and torch.equal(decoded.features, self.given.features)
        )
        if not same:
            raise IncorrectError("decode(encode(batch)) is not the batch")

    def _check_that_it_computes(self) -> None:
        """Negate the features in place: whoever then returns the same result has remembered it.

        They are handed in anew, as in timed calls: who computes on a copy of them copies them then.
        Writing to `.data` does not raise a tensor's version, so the change cannot be noticed by that.
        In a network the same result may be right, as where a rectifier returns 0 for both signs: then
        the oracle is asked.

        The result for the features as they were must stay what it was: whoever writes every result
        to the same memory is spared what others spend on it.
        """
        values = self.implementation.features(self.native)
        if not values.any():
            return
        first, kept = self.run(self.native).native, values.clone()
        before = self._rows_of(first)
        is_view = _shares_memory(self.implementation.features(first), values)
        try:
            values.data.neg_()
            changed = self.implementation.with_features(self.native, values)
            after = self.implementation.decode(self.run(changed).native)
            if not is_view and not torch.equal(self._rows_of(first), before):
                raise IncorrectError(
                    "a second call changed the first one's result: it writes all to the same memory"
                )
            if not torch.equal(after.features, before) or not before.any():
                return
            negated = self.given.with_features(-self.given.features)
            if not self.has_layers or self._are_wrong(after, negated):
                raise IncorrectError(
                    "its features were changed, but it returned the same result: it remembers answers"
                )
        finally:
            values.data.copy_(kept)

    def _check_that_it_reads_weights(self) -> None:
        """Negate a single operator's weights in place, as an optimiser changes them."""
        before = self._rows_of(self.run(self.native).native)
        if self.has_layers or not before.any():
            return
        for name, _, weight in self.built.leaves():
            if not weight.any():
                continue
            kept = weight.detach().clone()
            try:
                weight.neg_()
                after = self._rows_of(self.run(self.native).native)
            finally:
                weight.copy_(kept)
            if torch.equal(after, before):
                raise IncorrectError(
                    f"{name} was changed in place, but the result stayed: it computes with a copy"
                )

    def _check_that_it_builds_maps(self) -> None:
        """Mirror the coordinates in place: whoever returns the same result has remembered a kernel map.

        It would have recognised them by their address, which timed cold calls use again and again
        for new coordinates, or by their number, or would not have looked. The same result may be
        right, as that of a symmetric pattern is: then, and only then, the oracle is asked.
        """
        batch = self.batch.copied()
        mirrored = batch.coordinates.clone()
        mirrored[:, -1] = batch.grid_size[-1] - 1 - mirrored[:, -1]
        mirrored = mirrored[linear_keys(mirrored, batch.grid_size).argsort()]
        if torch.equal(mirrored, batch.coordinates):
            return
        before = self._rows_of(self.encode_and_run(batch).native)
        others = replace(batch, coordinates=mirrored.clone(), features=self.given.features)
        batch.coordinates.data.copy_(mirrored)
        after = self.implementation.decode(self.encode_and_run(batch).native)
        if torch.equal(after.features, before) and self._are_wrong(after, others):
            raise IncorrectError(
                "its coordinates were changed, but it returned the same result: it remembers maps"
            )

    def _are_wrong(self, output: SparseBatch, batch: SparseBatch) -> bool:
        """Whether the oracle expects another output than this one of the network for another batch."""
        problem = self.problem
        expectation = expect(
            problem.network,
            problem.weights,
            batch,
            background=problem.background,
            tf32=self.dtype is torch.float32,  # this is not about rounding
        )
        return output_fault(expectation, output.to(torch.device("cpu")), self.dtype) is not None

    def _rows_of(self, native: Native) -> Tensor:
        """A copy of what a native tensor holds, row by row."""
        return self.implementation.decode(native).features.clone()

    def check_answer(self, answer: Answer, which: str) -> None:
        """Check a network's output, inactive sites included.

        Args:
            answer: the output.
            which: of the calls returned it, for the message.

        Raises:
            IncorrectError: if the oracle expects another.
        """
        output = self.implementation.decode(answer.native)
        self.check_batch(output, which)
        values = self.implementation.features(answer.native)
        expected = self.expectation.background
        fault = None
        if values.ndim > 2:
            fault = background_fault(values, output, expected)
        elif expected is not None and answer.background is not None:
            fault = constant_fault(answer.background, expected)
        if fault is not None:
            raise IncorrectError(f"{which}: {fault}")

    def check_batch(self, output: SparseBatch, which: str) -> None:
        """Check the active sites of a decoded output, as `check_answer` does."""
        fault = output_fault(self.expectation, output, self.dtype)
        if fault is not None:
            raise IncorrectError(f"{which}: {fault}")


def _shares_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
