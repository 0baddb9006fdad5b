"""A network as a classifier: from sparse batches to a value for each class."""

from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.build import BuiltNetwork


class Classifier(nn.Module):
    """One implementation's network, whose last layer leaves a single site, between batch and logits."""

    def __init__(self, network: BuiltNetwork) -> None:
        super().__init__()
        self.network = network

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
