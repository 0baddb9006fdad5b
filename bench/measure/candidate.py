"""One implementation in one worker: built, verified, and turned into steps that can be timed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.batch import SparseBatch
from bench.build import BuiltNetwork, Weights
from bench.expectation import Expectation
from bench.implementation import Implementation, Native
from bench.network import Network
from bench.phases import Phase
from bench.verification import (
    background_fault,
    gradient_fault,
    output_fault,
    run_with_gradients,
)

MOST_FRESH_BATCHES = 8
"""Copying the input for every call costs time that is not measured: so many for one sample."""


class IncorrectError(Exception):
    """An implementation returned something else than the oracle; the message says what."""


@dataclass(frozen=True)
class Step:
    """A timed region and what surrounds it.

    Attributes:
        prepare: makes the argument of one call, outside of the timed region.
        call: the timed region.
        check: raises `IncorrectError` where the last timed call's result is wrong.
        most_calls: how many arguments may be made for one sample.
    """

    prepare: Callable[[], Any]
    call: Callable[[Any], Any]
    check: Callable[[Any], None]
    most_calls: int = 64


class Candidate:
    """An implementation with a workload's weights, input and expectation."""

    def __init__(
        self,
        implementation: Implementation,
        network: Network,
        weights: Weights,
        batch: SparseBatch,
        expectation: Expectation,
    ) -> None:
        self.implementation = implementation
        self.batch = batch
        self.expectation = expectation
        self.dtype = batch.features.dtype
        self.gradient_at_input = network.single_operator is not None
        self.built = BuiltNetwork(
            implementation, network, weights, self.dtype, batch.features.device
        ).eval()
        with torch.no_grad():
            self.native = implementation.encode(self.fresh_batch())

    def fresh_batch(self) -> SparseBatch:
        """Copy the coordinates, so that no cache can know them by identity."""
        batch = self.batch
        return SparseBatch(
            batch.coordinates.clone(), batch.features.detach(), batch.batch_size, batch.grid_size
        )

    def verify_outputs(self) -> None:
        """Check encode, a first and a second warm call, and a cold one.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.no_grad():
            self._check_encoded(self.native)
            for which in ("first call", "second call"):
                self._check_output(self.built(self.native), which)
            cold = self.implementation.encode(self.fresh_batch())
            self._check_output(self.built(cold), "cold call")
            dropped = self.implementation.without_maps(self.native)
            self._check_output(self.built(dropped), "call without cached maps")

    def verify_gradients(self) -> None:
        """Check the output of a recorded pass and every gradient.

        Raises:
            IncorrectError: at the first difference from the oracle.
        """
        with torch.enable_grad():
            output, gradients = run_with_gradients(
                self.implementation, self.built, self.batch, self.expectation.upstream
            )
        fault = output_fault(self.expectation, output, self.dtype)
        fault = fault or gradient_fault(self.expectation, gradients, self.dtype)
        if fault is not None:
            raise IncorrectError(fault)

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
            self.fresh_batch, self.implementation.encode, self._check_encoded, MOST_FRESH_BATCHES
        )

    def _map_step(self) -> Step:
        module = next(iter(self.built.layers.values()))

        def build(native: Native) -> Native:
            self.implementation.build_map(module, native)
            return native

        return Step(
            lambda: self.implementation.without_maps(self.native),
            build,
            lambda native: self._check_output(self.built(native), "call after build_map"),
        )

    def _forward_step(self) -> Step:
        self.built(self.native)
        return Step(
            lambda: self.native,
            self.built,
            lambda output: self._check_output(output, "last timed call"),
        )

    def _decode_step(self) -> Step:
        output = self.built(self.native)
        return Step(
            lambda: output,
            self.implementation.decode,
            lambda batch: self._check_batch(batch, "last timed call"),
        )

    def _forward_cold_step(self) -> Step:
        if self.implementation.starts_dense:
            prepare: Callable[[], Any] = self._native_without_maps
            call: Callable[[Any], Any] = self.built
        else:
            prepare = self.fresh_batch
            call = self._encode_and_run
        return Step(
            prepare,
            call,
            lambda output: self._check_output(output, "last timed call"),
            MOST_FRESH_BATCHES,
        )

    def _encode_and_run(self, batch: SparseBatch) -> Native:
        return self.built(self.implementation.encode(batch))

    def _native_without_maps(self) -> Native:
        return self.implementation.without_maps(self.native)

    def _backward_step(self) -> Step:
        implementation = self.implementation
        with torch.enable_grad():
            features = implementation.features(self.native).detach().requires_grad_()
            output = implementation.features(
                self.built(implementation.with_features(self.native, features))
            )
        leaves = self._leaves(features)
        upstream = output.detach().clone()

        def call(_: None) -> tuple[Tensor, ...]:
            return torch.autograd.grad(output, leaves, upstream, retain_graph=True)

        return Step(lambda: None, call, lambda _: self.verify_gradients())

    def _train_step(self) -> Step:
        implementation = self.implementation

        def finish(native: Native, leaf: Tensor) -> tuple[Tensor, ...]:
            loss = implementation.features(self.built(native)).sum()
            return torch.autograd.grad(loss, self._leaves(leaf))

        def from_batch(batch: SparseBatch) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                batch.features.requires_grad_()
                return finish(implementation.encode(batch), batch.features)

        def from_native(native: Native) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                leaf = implementation.features(native).detach().requires_grad_()
                return finish(implementation.with_features(native, leaf), leaf)

        if implementation.starts_dense:
            return Step(self._native_without_maps, from_native, lambda _: self.verify_gradients())
        return Step(
            self.fresh_batch, from_batch, lambda _: self.verify_gradients(), MOST_FRESH_BATCHES
        )

    def _leaves(self, features: Tensor) -> list[Tensor]:
        """What gradients are taken at: weights, and for a single operator its input too."""
        leaves = [tensor for _, _, tensor in self.built.leaves()]
        return [features, *leaves] if self.gradient_at_input else leaves

    def _check_encoded(self, native: Native) -> None:
        decoded = self.implementation.decode(native)
        same = (
            decoded.grid_size == self.batch.grid_size
            and torch.equal(decoded.coordinates, self.batch.coordinates)
            and torch.equal(decoded.features, self.batch.features)
        )
        if not same:
            raise IncorrectError("decode(encode(batch)) is not the batch")

    def _check_output(self, native: Native, which: str) -> None:
        output = self.implementation.decode(native)
        self._check_batch(output, which)
        values = self.implementation.features(native)
        if values.ndim > 2:
            fault = background_fault(values, output)
            if fault is not None:
                raise IncorrectError(f"{which}: {fault}")

    def _check_batch(self, output: SparseBatch, which: str) -> None:
        fault = output_fault(self.expectation, output, self.dtype)
        if fault is not None:
            raise IncorrectError(f"{which}: {fault}")
