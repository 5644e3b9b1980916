"""The least-squares GAN losses, and the loss below which a discriminator is saturated."""

from torch import Tensor

SATURATED = 0.01
"""A discriminator loss below this, averaged between two log lines, no longer teaches the generator."""


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """``0.5 * (mean(D(fake)^2) + mean((D(real) - 1)^2))``, from the score maps D(fake) and D(real)."""
    return 0.5 * (fake.square().mean() + (real - 1).square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """``mean((D(fake) - 1)^2)``, from the score map D(fake)."""
    return (fake - 1).square().mean()
