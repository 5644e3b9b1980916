"""Differentiable augmentation of what a discriminator sees (Zhao et al., *DiffAugment*, NeurIPS 2020).

Real and translated images are changed at random in the same ways, so that a discriminator cannot learn few real images
by heart, and the changes do not appear in the translations.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.contrast.patches import place_among_processes


class Augmented(nn.Module):
    """A discriminator that sees randomly changed images.

    Args:
        discriminator: maps images (B, 3, H, W) to scores.
        changes: names in CHANGES, made in this order.
    """

    def __init__(self, discriminator: nn.Module, changes: Sequence[str]):
        super().__init__()
        self.discriminator, self.changes = discriminator, list(changes)

    def forward(self, images: Tensor) -> Tensor:
        """The scores of the changed ``images`` (B, 3, H, W) in [-1, 1]; every call draws from torch's generator."""
        for name in self.changes:
            images = CHANGES[name](images)
        return self.discriminator(images)


def _uniform(images: Tensor, count: int) -> Tensor:
    """(count, B, 1, 1, 1) of random numbers in [-0.5, 0.5), anew for every image of all processes."""
    rank, processes = place_among_processes()
    drawn = torch.rand(count, processes * len(images), 1, 1, 1, device=images.device) - 0.5
    return drawn[:, rank * len(images) : (rank + 1) * len(images)]


def _color(images: Tensor) -> Tensor:
    """Changes brightness by up to 0.5, saturation by 0 to 2 times, and contrast by 0.5 to 1.5 times."""
    brightness, saturation, contrast = _uniform(images, 3)
    images = images + brightness
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1 + 2 * saturation)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1 + contrast)


def _translation(images: Tensor) -> Tensor:
    """Shifts by up to an eighth of the side in both directions, also by parts of a pixel; the border is mirrored.

    Parts of a pixel also blur patterns of single pixels, which whole shifts would leave as they are.
    """
    return _sampled(images, 0.5 * _uniform(images, 2))


def _sampled(images: Tensor, shift: Tensor) -> Tensor:
    """``images`` (B, 3, H, W) shifted by ``shift`` (2, B, 1, 1, 1), in units of half the side."""
    angle = torch.eye(2, device=images.device).expand(len(images), 2, 2)
    affine = torch.cat([angle, shift[:, :, 0, 0, 0].T.unsqueeze(2)], dim=2)  # (B, 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False).to(images.dtype)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _cutout(images: Tensor) -> Tensor:
    """Sets a square of half the side to grey, at a random place."""
    down, right = _uniform(images, 2)  # (B, 1, 1, 1) each
    height, width = images.shape[-2:]
    rows = torch.linspace(-0.5, 0.5, height, device=images.device).view(1, 1, -1, 1)
    columns = torch.linspace(-0.5, 0.5, width, device=images.device).view(1, 1, 1, -1)
    hidden = ((rows - down).abs() < 0.25) & ((columns - right).abs() < 0.25)  # (B, 1, H, W)
    return images.masked_fill(hidden, 0.0)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"color": _color, "translation": _translation, "cutout": _cutout}
"""The changes of ``discriminator.augment``."""
