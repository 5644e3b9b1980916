"""torch-geometric's graph convolutions over lists of edges, chosen by the names of their classes.

A class fits if it can be built from the number of channels, into and out of it, and runs on edges and nothing else, or
on edges and their weights. What it is built with follows from the names of its parameters; whether that works is tried
on a tiny graph. Classes that always normalise weights, such as SGConv, ChebConv and ARMAConv, do so to S once more.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import conv
from torch_geometric.utils import dense_to_sparse

from gcl.contrast.adjacency import propagation_matrix
from gcl.errors import UserError

Edges = tuple[Tensor, Tensor]
"""The ends (2, E) and the weights (E,) of all edges of one encoder layer's graphs."""


class PyGConvolution(nn.ModuleList):
    """A graph convolution of torch-geometric for each encoder layer, with weights of its own.

    They start as their class lets them. All graphs of a layer are one graph of separate parts, as PyG batches them.
    """

    def __init__(self, name: str, layers: int, channels: int, hops: int):
        check_pyg_convolution(name, hops, channels)
        super().__init__(_OfLayer(name, channels, hops) for _ in range(layers))

    def propagation(self, adjacency: Tensor, layers: Sequence[int]) -> list[Edges]:
        """The edges of each of ``layers``, of ``adjacency`` (L*B, N, N)."""
        return [_edges(of_layer) for of_layer in adjacency.chunk(len(layers))]

    def forward(self, nodes: Tensor, propagation: Sequence[Edges], layers: Sequence[int]) -> Tensor:
        """``nodes`` (L*B, N, D) of B graphs for each of L ``layers``: (L*B, N, D)."""
        parts = zip(layers, nodes.chunk(len(layers)), propagation, strict=True)
        # (B, N, D) -> (B*N, D), as one graph
        convolved = [self[layer](of_layer.flatten(0, 1), *edges) for layer, of_layer, edges in parts]
        return torch.cat(convolved).view_as(nodes)  # (L*B*N, D) -> (L*B, N, D)


class _OfLayer(nn.ModuleList):
    """The convolution of one encoder layer: one module with K hops, or ``hops`` modules with ReLU in between."""

    def __init__(self, name: str, channels: int, hops: int):
        kind = getattr(conv, name)
        count = 1 if "K" in signature(kind).parameters else hops
        super().__init__(kind(**_settings(kind, channels, hops)) for _ in range(count))
        self.weighted = _takes_weights(kind)

    def forward(self, nodes: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """``nodes`` (M, D), ``edges`` (2, E) and their ``weights`` (E,): (M, D)."""
        given = {"edge_index": edges, "edge_weight": weights} if self.weighted else {"edge_index": edges}
        for place, convolution in enumerate(self):
            nodes = convolution(nodes.relu() if place else nodes, **given)
        return nodes


def _settings(kind: type[nn.Module], channels: int, hops: int) -> dict[str, Any]:
    """What ``kind`` is built with: those of its parameters that mean something here."""
    parameters = signature(kind).parameters
    # The edges are those of A + I, and their weights are normalised already.
    known = {"in_channels": channels, "out_channels": channels, "K": hops, "add_self_loops": False}
    if _takes_weights(kind):
        known["normalize"] = False  # elsewhere, as in SAGEConv, it is about the nodes
    if "nn" in parameters and parameters["nn"].default is parameters["nn"].empty:
        known["nn"] = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
    return {name: value for name, value in known.items() if name in parameters}


def _takes_weights(kind: type[nn.Module]) -> bool:
    return "edge_weight" in signature(kind.forward).parameters


def _edges(adjacency: Tensor) -> Edges:
    """All edges of A + I with ``S = D^-1/2 (A + I) D^-1/2`` for weights; A is (B, N, N)."""
    return dense_to_sparse(propagation_matrix(adjacency))


def check_pyg_convolution(name: str, hops: int, channels: int) -> None:
    """UserError unless torch-geometric has a convolution of this ``name`` that fits; the error lists those that do.

    Those without a parameter ``K`` are stacked once per hop, so they need at least one.
    """
    reason = _obstacle(name, hops, channels)
    if reason:
        fitting = [other for other in conv.__all__ if not _obstacle(other, hops, channels)]
        raise UserError(
            f"graph.convolution = {name}: {reason}. With graph.hops {hops} it can be tag (dense, fast) "
            f"or, of torch-geometric, {', '.join(fitting)}"
        )


def _obstacle(name: str, hops: int, channels: int) -> str | None:
    """Why the convolution cannot be used; None if it can."""
    if name not in conv.__all__:
        return "torch-geometric has no convolution of this name"
    parameters = signature(getattr(conv, name)).parameters
    if not {"in_channels", "out_channels"} <= parameters.keys() and "nn" not in parameters:
        return "it is not built from numbers of channels"
    if hops == 0 and "K" not in parameters:
        return "it has no parameter K and is stacked once per hop, so graph.hops must be at least 1"
    try:
        return _tried_out(name, hops, channels)
    except Exception as error:  # whatever a class does with what it was not made for
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"it does not run on nodes and edges alone ({told})"


def _tried_out(name: str, hops: int, channels: int) -> str | None:
    """What is wrong with the convolution of two triangles, and with its gradient; None if nothing is."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        nodes = torch.randn(6, channels, requires_grad=True)
        hidden = _OfLayer(name, channels, hops)(nodes, *_edges(torch.ones(2, 3, 3)))
        if not isinstance(hidden, Tensor) or hidden.shape != nodes.shape:
            return f"it does not give every node {channels} channels again"
        (gradient,) = torch.autograd.grad(hidden[:3].square().sum(), nodes)
    if not gradient[:3].any():
        return "no gradient reaches the nodes"
    if gradient[3:].any():
        return "the images of a batch would have an effect on each other"
    return None
