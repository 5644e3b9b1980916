"""The losses beside the GAN loss, behind one interface: (inputs, outputs) -> (loss, values to log).

Inputs are images (B, 3, H, W) in [-1, 1]; outputs are their translations. A contrast is a module with three parts:
``features`` computes the features of images, ``loss`` holds the trainable layers, and ``compare`` applies the loss to
two lists of features. The training loop does not know which contrast it runs.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gcl.contrast.graph_loss import GraphContrastiveLoss

Result = tuple[Tensor, dict[str, Tensor]]
"""A loss, and values to log by name."""


class GraphContrast(nn.Module):
    """GCL: the graph loss on the features of a frozen encoder."""

    def __init__(self, encoder: nn.Module, loss: GraphContrastiveLoss):
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, inputs: Tensor, outputs: Tensor) -> Result:
        """The graph loss and, to log, the share of possible edges that the inputs' graphs have."""
        with torch.no_grad():
            input_features = self.features(inputs)
        return self.compare(input_features, self.features(outputs))

    def features(self, images: Tensor) -> list[Tensor]:
        """One (B, C, H', W') for each chosen layer of the encoder."""
        return self.encoder(images)

    def compare(self, input_features: list[Tensor], output_features: list[Tensor]) -> Result:
        """Like :meth:`forward`, but given features."""
        loss, graphs = self.loss(input_features, output_features)
        return loss, {"graph_density": torch.stack([graph.density for graph in graphs]).mean()}


class PatchContrast(nn.Module):
    """CUT and SRC: a loss between patches, on the features of the generator's own first half.

    ``encode`` maps images to these features. It is a function, not a module, so that the generator's parameters
    belong to the generator alone and only one optimiser updates them. With ``flip_equivariance`` (FastCUT), half of the
    calls, at random, compare the features of the mirrored input with the mirrored features of the output.
    """

    def __init__(self, encode: Callable[[Tensor], list[Tensor]], loss: nn.Module, flip_equivariance: bool = False):
        super().__init__()
        self.encode, self.loss, self.flip_equivariance = encode, loss, flip_equivariance

    def forward(self, inputs: Tensor, outputs: Tensor) -> Result:
        """The loss, and nothing else to log."""
        flipped = self.flip_equivariance and torch.rand(()).item() < 0.5
        with torch.no_grad():
            input_features = self.features(inputs.flip(-1) if flipped else inputs)
        output_features = self.features(outputs)
        return self.compare(input_features, [maps.flip(-1) for maps in output_features] if flipped else output_features)

    def features(self, images: Tensor) -> list[Tensor]:
        """One (B, C, H', W') for each chosen layer of the generator."""
        return self.encode(images)

    def compare(self, input_features: list[Tensor], output_features: list[Tensor]) -> Result:
        """Like :meth:`forward`, but given features."""
        return self.loss(input_features, output_features), {}
