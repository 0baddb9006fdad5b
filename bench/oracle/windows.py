"""A single operator on densified windows: the oracle for layers whose densified grid is too large."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch
from bench.build import LayerWeights
from bench.operators import SPARSITY_INVARIANT_EPSILON, Convolution, MaxPooling, Rule
from bench.oracle.dense import POOL
from bench.sites import neighbours


class Windows:
    """A single operator on densified windows, in chunks of bounded memory."""

    def __init__(
        self,
        operator: Convolution | MaxPooling,
        weights: LayerWeights | None,
        batch: SparseBatch,
        sites: Tensor,
        chunk_bytes: int,
    ) -> None:
        self.operator = operator
        self.weights = weights
        self.batch = batch
        self.sites = sites
        window_bytes = 8 * operator.window.volume * batch.channels
        self.chunk = max(1, chunk_bytes // window_bytes)

    def run(self, upstream: Tensor, *, absolute: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Output `[m, C]` and gradients of the chosen windows, plain or of absolute values."""

        def leaf(tensor: Tensor) -> Tensor:
            values = tensor.detach().double()
            return (values.abs() if absolute else values).requires_grad_()

        leaves = {"input": leaf(self.batch.features)}
        if self.weights is not None:
            leaves["weight"] = leaf(self.weights.weight)
            if self.weights.bias is not None:
                leaves["bias"] = leaf(self.weights.bias)
        totals = {name: torch.zeros_like(tensor) for name, tensor in leaves.items()}
        outputs = []
        for start in range(0, max(1, len(self.sites)), self.chunk):
            part = slice(start, start + self.chunk)
            output = self._compute(leaves, self.sites[part])
            gradients = torch.autograd.grad(output, list(leaves.values()), upstream[part])
            for name, gradient in zip(leaves, gradients, strict=True):
                totals[name] += gradient
            outputs.append(output.detach())
        return torch.cat(outputs), totals

    def _compute(self, leaves: dict[str, Tensor], sites: Tensor) -> Tensor:
        operator = self.operator
        geometry = operator.window
        rows, inside = neighbours(geometry, sites, self.batch)
        features = leaves["input"]
        padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
        windows = padded[rows].movedim(2, 1)
        if isinstance(operator, MaxPooling):
            shape = (len(sites), features.shape[1], *geometry.kernel_size)
            windows = windows.masked_fill(~inside[:, None, :], -math.inf)
            pooled = POOL[geometry.dimensions](windows.reshape(shape), geometry.kernel_size)
            return pooled.flatten(1)
        # A window as large as the kernel: the dense operator is one product of flattened taps.
        values = F.linear(windows.flatten(1), leaves["weight"].flatten(1))
        if operator.rule is Rule.SPARSITY_INVARIANT:
            count = (rows >= 0).sum(1, keepdim=True).double()
            values = values / (count + SPARSITY_INVARIANT_EPSILON)
        return values + leaves["bias"] if "bias" in leaves else values
