"""The paper's graph convolution, TAGCN, as dense algebra on a batch of graphs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gcl.contrast.adjacency import propagation_matrix
from gcl.contrast.fast.derivatives import propagate
from gcl.contrast.fast.products import linear
from gcl.contrast.fast.stacked_linear import StackedLinear


class TAGConvolution(StackedLinear):
    """Topology-adaptive graph convolution (Du et al., 2017), with separate weights for each encoder layer.

    ``h = sum_k S^k x W_k + bias`` for k = 0 ... K: PyG's ``TAGConv``, dense and batched. ``weight`` is
    (layers, channels, (K + 1) * channels), with ``W_0 ... W_K`` side by side; ``bias`` is (layers, channels).
    """

    def __init__(self, layers: int, channels: int, hops: int):
        super().__init__(layers, (hops + 1) * channels, channels)
        self.hops = hops

    def propagation(self, adjacency: Tensor, layers: Sequence[int]) -> Tensor:
        """The matrices ``S`` (L*B, N, N) for ``adjacency`` (L*B, N, N); they are computed alike for all ``layers``."""
        return propagation_matrix(adjacency)

    def forward(self, nodes: Tensor, propagation: Tensor, layers: Sequence[int]) -> Tensor:
        """Convolves ``nodes`` x (L*B, N, D), of B graphs for each of L ``layers``; returns the same shape.

        No gradient reaches S.
        """
        weights, biases = self.of(layers)
        powers = [nodes]  # S^k x
        for _ in range(self.hops):
            powers.append(propagate(propagation, powers[-1]))
        # One product per layer, of (B*N, (K + 1) * D) rows with the weights.
        rows = torch.cat(powers, dim=-1).unflatten(0, (len(weights), -1))  # (L*B, N, ...) -> (L, B, N, (K + 1) * D)
        return linear(rows, weights, biases).flatten(0, 1)  # (L, B, N, D) -> (L*B, N, D)
