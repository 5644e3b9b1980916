"""The GAN losses, each with the value below which a discriminator no longer teaches the generator anything."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.networks.discriminators import DISCRIMINATORS


@dataclass(frozen=True)
class GanLoss:
    """A pair of losses on score maps of any shape.

    Attributes:
        name: its key in GAN_LOSSES.
        discriminator: (D(fake), D(real)) -> the discriminator's loss.
        generator: D(fake) -> the generator's loss.
        saturated: a discriminator's loss below this, averaged between two log lines, no longer teaches the generator:
            4 % of the loss of a discriminator that cannot tell the two apart.
    """

    name: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    saturated: float


def _least_squares(fake: Tensor, real: Tensor) -> Tensor:
    """``0.5 * (mean(D(fake)^2) + mean((D(real) - 1)^2))``."""
    return 0.5 * (fake.square().mean() + (real - 1).square().mean())


def _towards_one(fake: Tensor) -> Tensor:
    """``mean((D(fake) - 1)^2)``."""
    return (fake - 1).square().mean()


def _hinge(fake: Tensor, real: Tensor) -> Tensor:
    """``mean(max(0, 1 + D(fake))) + mean(max(0, 1 - D(real)))``."""
    return (1 + fake).relu().mean() + (1 - real).relu().mean()


def _upwards(fake: Tensor) -> Tensor:
    """``-mean(D(fake))``."""
    return -fake.mean()


def _cross_entropy(fake: Tensor, real: Tensor) -> Tensor:
    """``-mean(log(1 - sigmoid(D(fake)))) - mean(log(sigmoid(D(real))))`` (Goodfellow et al., NeurIPS 2014)."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    """``-mean(log(sigmoid(D(fake))))``."""
    return F.softplus(-fake).mean()


LEAST_SQUARES = GanLoss("least_squares", _least_squares, _towards_one, saturated=0.01)
HINGE = GanLoss("hinge", _hinge, _upwards, saturated=0.08)
NON_SATURATING = GanLoss("non_saturating", _cross_entropy, _non_saturating, saturated=0.055)
GAN_LOSSES = {loss.name: loss for loss in (LEAST_SQUARES, HINGE, NON_SATURATING)}


def loss_of(discriminator: str, loss: str = "auto") -> GanLoss:
    """The ``loss`` of GAN_LOSSES; with auto the usual one of the ``discriminator`` that is called so in
    DISCRIMINATORS."""
    return GAN_LOSSES[DISCRIMINATORS[discriminator].loss if loss == "auto" else loss]


class Penalised(nn.Module):
    """A discriminator that also returns its gradient penalty, R1 (Mescheder et al., *Which Training Methods for GANs do
    actually Converge?*, ICML 2018).

    In mixed precision, Fabric lets nobody take a gradient from outside the module that it has set up.
    """

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, penalised: slice | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The scores (B, ...) of ``images`` (B, 3, H, W) and, if some are ``penalised``, the penalty for those.

        It is ``mean(|gradient of D(x) by x|^2)``, where D(x) is the mean of the scores of x.
        """
        if penalised is None:
            return self.discriminator(images)
        images = images.detach().requires_grad_()
        scores = self.discriminator(images)
        of_images = scores[penalised].flatten(1).mean(dim=1).sum()
        (slopes,) = torch.autograd.grad(of_images, images, create_graph=True)
        return scores, slopes[penalised].float().square().sum(dim=(1, 2, 3)).mean()
