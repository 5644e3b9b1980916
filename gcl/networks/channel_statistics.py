"""Mean and variance of each channel of a map that comes in bands of rows."""

import torch
from torch import Tensor

EPSILON = 1e-5
"""What instance normalisation adds to the variance."""

CHUNK = 2**18
"""The values that are summed at once: so few that a copy of them stays in the processor's cache."""


class ChannelStatistics:
    """Mean and variance over all positions, in float64.

    Every few rows are centred by their own mean first, and then merged with the rows before them (Chan, Golub and
    LeVeque, 1979), so that a mean far from 0 costs no digits: ::

        M2 = M2_a + M2_b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)
    """

    def __init__(self):
        self.count, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, images: Tensor) -> None:
        """Takes the band ``images``, (1, C, rows, W), into account."""
        _, channels, _, width = images.shape
        for rows in images.split(max(1, CHUNK // (channels * width)), dim=2):
            rows = rows.float()
            mean = rows.mean((0, 2, 3), keepdim=True)
            squares = (rows - mean).square_().sum((0, 2, 3))
            self._merge(rows.shape[2] * width, mean.flatten().double(), squares.double())

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        total, difference = self.count + count, mean - self.mean.to(mean)
        self.squares = self.squares.to(mean) + squares + difference**2 * (self.count * count / total)
        self.mean = self.mean.to(mean) + difference * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """The variance, (C,), divided by the number of positions."""
        return self.squares / self.count

    def normalise(self, images: Tensor) -> Tensor:
        """``(x - mean) / sqrt(variance + 1e-5)`` of a band, in float32 and in place if it is float32."""
        scale = (self.variance + EPSILON).rsqrt().float().view(-1, 1, 1)
        return images.float().sub_(self.mean.float().view(-1, 1, 1)).mul_(scale)
