"""The PatchGAN discriminator, with the parameter names of the CUT family's public checkpoints."""

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gcl.networks.layers import BlurDownsample, initialise, normalised


class Discriminator(nn.Module):
    """PatchGAN: a map of scores, each for one patch; with three strided layers a patch has 70x70 pixels.

    Args:
        channels: base channels, doubled by every strided layer up to eight times their number.
        layers: the number of strided layers.
        spectral_norm: whether the weights of every convolution are divided by their largest singular value
            (Miyato et al., 2018), which keeps the scores from rising ever more steeply from translated to real images.
    """

    def __init__(self, channels: int = 64, layers: int = 3, spectral_norm: bool = False):
        super().__init__()
        modules = [nn.Conv2d(3, channels, 4, padding=1), nn.LeakyReLU(0.2, inplace=True), BlurDownsample(channels)]
        width = channels
        for level in range(1, layers + 1):
            wider = channels * min(2**level, 8)
            convolution = nn.Conv2d(width, wider, 4, padding=1)
            modules += normalised(convolution, nn.LeakyReLU(0.2, inplace=True))
            if level < layers:
                modules.append(BlurDownsample(wider))
            width = wider
        modules.append(nn.Conv2d(width, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)
        self.apply(initialise)
        if spectral_norm:
            for module in self.model:
                _divide_by_largest_singular_value(module)

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``images`` (B, 3, H, W) in [-1, 1] to scores (B, 1, h, w), about 1 where patches look real."""
        return self.model(images)


def _divide_by_largest_singular_value(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        # Not with gain 0.02: after the division small weights count as much as large ones, but they turn faster,
        # because Adam's steps do not shrink with them.
        nn.init.xavier_normal_(module.weight)
        parametrizations.spectral_norm(module)
