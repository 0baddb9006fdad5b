"""A network as a classifier: from sparse batches to a value for each class."""

import torch
from torch import Tensor, nn

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import Weights
from bench.ground_state import build
from bench.implementation import Implementation
from bench.network import Network


class Classifier(nn.Module):
    """One implementation's network between a sparse batch and its logits.

    Args:
        implementation: whose modules compute it.
        network: whose last layer leaves a single site.
        weights: to start from, in torch's layout.
        dtype: of weights and values.
        device: where it runs.
        background: what inactive sites hold between layers.
    """

    def __init__(
        self,
        implementation: Implementation,
        network: Network,
        weights: Weights,
        dtype: torch.dtype,
        device: torch.device,
        background: Background,
    ) -> None:
        super().__init__()
        self.network = build(implementation, network, weights, dtype, device, background)

    def forward(self, batch: SparseBatch) -> Tensor:
        """Compute logits `[B, classes]`; a sample without any active site gets the background's."""
        implementation = self.network.implementation
        answer = self.network.answer(implementation.encode(batch))
        features = implementation.features(answer.native)
        if features.ndim > 2:  # a whole grid, of one site
            return features.flatten(1)
        found = implementation.decode(answer.native)
        if found.sites == batch.batch_size:
            return found.features
        shape = (batch.batch_size, found.channels)
        if answer.background is None:
            rest = found.features.new_zeros(shape)
        else:
            rest = answer.background.expand(shape)
        return rest.index_copy(0, found.coordinates[:, 0].long(), found.features)

    def weights_in_torch_layout(self) -> dict[str, Tensor]:
        """Copy every learnt weight and bias, by `layer.weight` and `layer.bias`."""
        return {
            name: self.network.torch_layout(name, operator, tensor.detach()).clone()
            for name, operator, tensor in self.network.leaves()
        }
