"""The least-squares GAN losses, and when a discriminator no longer teaches."""

from torch import Tensor

SATURATED = 0.01
"""A discriminator loss below this, averaged between two log lines, no longer teaches the generator."""


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Least squares: ``0.5 * (mean(D(fake)^2) + mean((D(real) - 1)^2))`` of the two score maps."""
    return 0.5 * (fake.square().mean() + (real - 1).square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Least squares: ``mean((D(fake) - 1)^2)`` of the score map."""
    return (fake - 1).square().mean()
