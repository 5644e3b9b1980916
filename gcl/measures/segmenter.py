"""The segmenter of the metrics: a small U-Net that finds sky, hills, ground and animal in zebra pictures.

It is used as in the Cityscapes protocol: trained only on real pictures of domain B, it segments translated ones, and
its answers are compared with the masks of the inputs. An animal that it does not take for a zebra scores badly.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from gcl.images.masks import CLASSES

WEIGHTS = Path(__file__).parent / "weights" / "segmenter.safetensors"
WIDTHS = (16, 32, 64)
STRIDE = 2 ** (len(WIDTHS) - 1)


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch normalisation and ReLU, from (B, inputs, H, W) to (B, outputs, H, W)."""
    layers = nn.Sequential()
    for channels in (inputs, outputs):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.ReLU(inplace=True))
    return layers


class Segmenter(nn.Module):
    """A U-Net: between the widths it halves the picture; then it doubles it again, each time joined with the features
    of that size from the way down."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(map(convolutions, (3, *WIDTHS), WIDTHS))
        steps = zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        self.up = nn.ModuleList(convolutions(deep + shallow, shallow) for deep, shallow in steps)
        self.answer = nn.Conv2d(WIDTHS[0], len(CLASSES), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) in [-1, 1], H and W multiples of STRIDE, to the logits (B, 4, H, W) of CLASSES."""
        hidden, passed = images, []
        for block in self.down:
            hidden = block(functional.max_pool2d(hidden, 2) if passed else hidden)
            passed.append(hidden)
        for block, beside in zip(self.up, passed[-2::-1], strict=True):
            hidden = functional.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = block(torch.cat((hidden, beside), 1))
        return self.answer(hidden)


def load_segmenter() -> nn.Module:
    """Loads the bundled segmenter, frozen and in evaluation mode."""
    segmenter = Segmenter()
    segmenter.load_state_dict(load_file(WEIGHTS))
    return segmenter.requires_grad_(False).eval()


@torch.no_grad()
def segment(segmenter: nn.Module, images: Tensor) -> Tensor:
    """Maps images (B, 3, H, W) in [-1, 1] of any size to class ids (B, H, W) int64, the indices of
    ``gcl.images.masks.CLASSES``."""
    height, width = images.shape[2:]
    # A repeated border looks least like the edge of an object.
    padded = functional.pad(images, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    return segmenter(padded).argmax(1)[:, :height, :width]
