"""What the generator is held to beside the GAN: one interface, (inputs, outputs) -> (loss, numbers to log).

Inputs and outputs are images (B, 3, H, W) in [-1, 1] and their translations. The training loop does not know which
of these it runs.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.patch_nce import PatchNCE


class GraphContrast(nn.Module):
    """GCL: the graph loss on the features of a frozen encoder."""

    def __init__(self, encoder: nn.Module, loss: GraphContrastiveLoss):
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The graph loss, and the share of edges in the inputs' graphs."""
        with torch.no_grad():
            input_features = self.encoder(inputs)
        loss, graphs = self.loss(input_features, self.encoder(outputs))
        return loss, {"graph_density": torch.stack([graph.density for graph in graphs]).mean()}


class PatchContrast(nn.Module):
    """CUT: PatchNCE on the features of the generator's own first half.

    ``encode`` maps images to these features. It is a function, not a module, so that the generator's parameters
    stay the generator's: one optimiser learns them.
    """

    def __init__(self, encode: Callable[[Tensor], list[Tensor]], loss: PatchNCE):
        super().__init__()
        self.encode, self.loss = encode, loss

    def forward(self, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The PatchNCE loss, and nothing else to log."""
        with torch.no_grad():
            input_features = self.encode(inputs)
        return self.loss(input_features, self.encode(outputs)), {}
