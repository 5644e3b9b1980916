"""The graph convolutions that there are: the paper's, dense, called ``tag``, and torch-geometric's by class name.

Importing this module imports neither torch nor torch-geometric, so that names are checked before anything slow begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

DENSE = "tag"
"""The convolution that needs no torch-geometric."""


def check_convolution(name: str, hops: int, channels: int = 256) -> None:
    """UserError unless ``name`` is ``tag`` or a class of torch-geometric that fits; it then lists those that do.

    ``hops`` and ``channels`` are those that the convolution is to have: some classes fit some numbers only.
    """
    if name != DENSE:
        from gcl.contrast.pyg_convolutions import check_pyg_convolution

        check_pyg_convolution(name, hops, channels)


def build_convolution(name: str, layers: int, channels: int, hops: int) -> nn.Module:
    """One graph convolution of ``channels`` to ``channels`` for each of several encoder ``layers``.

    The module is called in two steps, since two graphs may share their edges: ``propagation(adjacency, layers)`` of
    (L*B, N, N) gives what ``forward(nodes, propagation, layers)`` sends nodes (L*B, N, D) along; it returns the same
    shape. ``layers`` are the L encoder layers whose B graphs follow each other in the batch.

    UserError where there is no such convolution, or it does not fit.
    """
    if name == DENSE:
        from gcl.contrast.tag_convolution import TAGConvolution

        return TAGConvolution(layers, channels, hops)
    from gcl.contrast.pyg_convolutions import PyGConvolution

    return PyGConvolution(name, layers, channels, hops)
