"""The marks in the picture of a graph lie where the encoder looks, and no part of a curve is cut off."""

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from gcl.contrast.patch_graph import PatchGraph
from gcl.networks.encoders import load_encoder
from gcl.networks.timm_features import TimmFeatures
from pipeline.pages.figures import draw_curves, pixel_places

SIDE = 6
"""The side of a bright square in pixels."""


def encoder(name: str, layer: str) -> nn.Module:
    """The encoder ``name``; one of timm with random weights."""
    torch.manual_seed(0)
    if not name.startswith("timm/"):
        return load_encoder(name, [layer])
    name = name.removeprefix("timm/")
    return TimmFeatures(name, [layer], timm.create_model(name).state_dict())


def graph_of_all(map_size: tuple[int, int]) -> PatchGraph:
    """A graph whose nodes are all positions of a map."""
    ids = torch.arange(map_size[0] * map_size[1])[None]
    return PatchGraph(map_size, ids, torch.empty(0), torch.empty(0), [], [])


@pytest.mark.parametrize("size", [(128, 96), (130, 98), (127, 109)], ids=str)
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("small", "relu3_2"),
        ("efficientnet_lite0", "stride8"),
        ("efficientnet_lite0", "stride16"),
        ("timm/vit_tiny_patch16_224", "block2"),
        ("timm/swin_tiny_patch4_window7_224", "stride8"),
    ],
)
@torch.no_grad()
def test_the_node_that_a_bright_square_changes_most_is_marked_there(name, layer, size) -> None:
    network, (height, width) = encoder(name, layer), size
    (stride,), dark = network.strides, torch.zeros(1, 3, height, width)
    (before,) = network(dark)
    places = pixel_places(graph_of_all(tuple(before.shape[-2:])), stride, size)
    misses = []
    for top in torch.linspace(0, height - SIDE, 7).int().tolist():
        for left in torch.linspace(0, width - SIDE, 7).int().tolist():
            bright = dark.clone()
            bright[..., top : top + SIDE, left : left + SIDE] = 1
            changed = int((network(bright)[0] - before).square().sum(dim=1).argmax())
            middle = torch.tensor([left, top]) + (SIDE - 1) / 2
            misses.append(torch.from_numpy(places[changed]) - middle)
    # The nearest of the nodes is at most half a stride away, on one side as often as on the other.
    misses = torch.stack(misses) / stride
    assert misses.mean(dim=0).abs().max() < 0.4
    assert misses.abs().max() < 2


def test_a_curve_below_zero_is_drawn_whole(tmp_path) -> None:
    draw_curves(pd.DataFrame({"step": range(20), "generator_gan": np.linspace(-1, -3, 20)}), tmp_path / "curves.png")
    pixels = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")).astype(int)
    blue = (np.abs(pixels - [31, 119, 180]).max(axis=-1) < 30).any(axis=0)  # matplotlib's first colour, by column
    assert blue.sum() > pixels.shape[1] / 2
