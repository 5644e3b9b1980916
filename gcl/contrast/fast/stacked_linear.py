"""Linear layers of the same size, one per encoder layer, stacked into one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """L linear layers of the same size, one per encoder layer: ``weight`` (L, out, in) and ``bias`` (L, out).

    Weights start from N(0, 0.02), biases from 0. Since they are one tensor instead of L, a step that uses all layers
    need not stack them nor take their gradients apart.
    """

    def __init__(self, layers: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(layers, outputs, inputs).normal_(0.0, 0.02))
        self.bias = nn.Parameter(torch.zeros(layers, outputs))

    def of(self, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The weights and biases of these ``layers``, in their order."""
        if list(layers) == list(range(len(self.weight))):
            return self.weight, self.bias
        # Indexing with a list would copy the list to the device and wait for it.
        weights, biases = zip(*((self.weight[layer], self.bias[layer]) for layer in layers), strict=True)
        return torch.stack(weights), torch.stack(biases)
