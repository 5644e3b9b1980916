"""Linear layers of one size side by side: one for every encoder layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedLinear(nn.Module):
    """L linear layers of one size, one per encoder layer: ``weight`` (L, out, in), from N(0, 0.02), ``bias`` (L, out).

    One tensor instead of L: where all layers are asked for, no step stacks them or takes their gradients apart.
    """

    def __init__(self, layers: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(layers, outputs, inputs).normal_(0.0, 0.02))
        self.bias = nn.Parameter(torch.zeros(layers, outputs))

    def of(self, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights and biases of these ``layers``, in their order."""
        if list(layers) == list(range(len(self.weight))):
            return self.weight, self.bias
        # Not by an index, which would be copied to the device, and waited for.
        weights, biases = zip(*((self.weight[layer], self.bias[layer]) for layer in layers), strict=True)
        return torch.stack(weights), torch.stack(biases)
