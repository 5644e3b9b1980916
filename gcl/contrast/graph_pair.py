"""The graphs of an input and of its output, which the loss convolves, contrasts and pools together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from gcl.contrast.adjacency import two_hop_adjacency
from gcl.contrast.fast.derivatives import normalise, symmetric_cross_entropy
from gcl.contrast.fast.products import batched_product
from gcl.contrast.pooling import pool


def info_nce(inputs: Tensor, outputs: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE between matching nodes; the negatives are the other nodes of the same image.

    The cross-entropy of ``T S^T / temperature`` over rows PLUS the same over columns, each averaged over nodes and
    images. ``inputs`` T and ``outputs`` S are (B, N, D), L2-normalised.
    """
    # The loss is the same for S T^T as for T S^T, but the gradient by its first matrix, S, needs no transpose.
    return symmetric_cross_entropy(batched_product(outputs, inputs.mT / temperature))  # (B, N, N)


@dataclass(frozen=True)
class GraphPair:
    """The input's and the output's graph on the same patches, for L encoder layers with B images each, as one batch.

    Attributes:
        layers: the L encoder layers, whose B graphs follow each other in the batch.
        inputs, outputs: node features (L*B, N, D). No gradient flows through the inputs'.
        input_adjacency, output_adjacency: (L*B, N, N) of zeros and ones; the same tensor if it is shared.
    """

    layers: Sequence[int]
    inputs: Tensor
    outputs: Tensor
    input_adjacency: Tensor
    output_adjacency: Tensor

    def convolve(self, convolution: nn.Module) -> Self:
        """Returns the pair with new node features, L2-normalised, after one graph convolution over both graphs."""
        input_edges, output_edges = self._of_adjacencies(partial(convolution.propagation, layers=self.layers))
        with torch.no_grad():
            inputs = normalise(convolution(self.inputs, input_edges, self.layers))
        return replace(self, inputs=inputs, outputs=normalise(convolution(self.outputs, output_edges, self.layers)))

    def contrast(self, temperature: float) -> Tensor:
        """InfoNCE between the two graphs, a scalar: how badly nodes find their match in the other graph."""
        return info_nce(self.inputs, self.outputs, temperature)

    def pool(self, scores: Tensor, kept: Tensor) -> Self:
        """Returns the pair with only the nodes ``kept`` (L*B, k), multiplied by their ``scores`` (L*B, k).

        Both graphs keep the SAME nodes.
        """
        inputs, outputs = (pool(nodes, scores, kept) for nodes in (self.inputs, self.outputs))
        return GraphPair(self.layers, inputs, outputs, *self._of_adjacencies(partial(two_hop_adjacency, kept=kept)))

    def _of_adjacencies(self, function: Callable[[Tensor], Any]) -> tuple[Any, Any]:
        """``function`` applied to both adjacencies, or only once if they are shared."""
        result = function(self.input_adjacency)
        shared = self.output_adjacency is self.input_adjacency
        return result, result if shared else function(self.output_adjacency)
