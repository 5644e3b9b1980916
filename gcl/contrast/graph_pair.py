"""The graph of an input and that of its output, which the loss convolves, contrasts and pools together."""

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
    """Symmetric InfoNCE between matching nodes, negatives being the other nodes of the same image.

    Cross-entropy of ``T S^T / temperature`` over rows PLUS the same over columns, each averaged over nodes
    and images. ``inputs`` T and ``outputs`` S are (B, N, D), L2-normalised.
    """
    # S T^T instead of T S^T: the gradient of its first matrix, the outputs, transposes nothing.
    return symmetric_cross_entropy(batched_product(outputs, inputs.mT / temperature))  # (B, N, N)


@dataclass(frozen=True)
class GraphPair:
    """Two graphs on the same patches, of B images for each of L encoder layers, as one batch.

    Attributes:
        layers: the L encoder layers, whose B graphs follow each other in the batch.
        inputs, outputs: node features (L*B, N, D). Nothing learns through the inputs'.
        input_adjacency, output_adjacency: (L*B, N, N) of zeros and ones; one and the same tensor where it is shared.
    """

    layers: Sequence[int]
    inputs: Tensor
    outputs: Tensor
    input_adjacency: Tensor
    output_adjacency: Tensor

    def convolve(self, convolution: nn.Module) -> Self:
        """The pair with new node features, L2-normalised: one graph convolution runs over both graphs."""
        input_edges, output_edges = self._of_adjacencies(partial(convolution.propagation, layers=self.layers))
        with torch.no_grad():
            inputs = normalise(convolution(self.inputs, input_edges, self.layers))
        return replace(self, inputs=inputs, outputs=normalise(convolution(self.outputs, output_edges, self.layers)))

    def contrast(self, temperature: float) -> Tensor:
        """How badly nodes find their match in the other graph: InfoNCE, a scalar."""
        return info_nce(self.inputs, self.outputs, temperature)

    def pool(self, scores: Tensor, kept: Tensor) -> Self:
        """The pair of the nodes ``kept`` (L*B, k), the SAME in both graphs, times their ``scores`` (L*B, k)."""
        inputs, outputs = (pool(nodes, scores, kept) for nodes in (self.inputs, self.outputs))
        return GraphPair(self.layers, inputs, outputs, *self._of_adjacencies(partial(two_hop_adjacency, kept=kept)))

    def _of_adjacencies(self, function: Callable[[Tensor], Any]) -> tuple[Any, Any]:
        """``function`` of both adjacencies, computed once where they are shared."""
        result = function(self.input_adjacency)
        shared = self.output_adjacency is self.input_adjacency
        return result, result if shared else function(self.output_adjacency)
