"""The judge: the frozen network through whose features ``evaluate.features: small`` compares images."""

from pathlib import Path

from torch import Tensor

from gcl.networks.plans import JUDGE
from gcl.networks.vgg import Encoder

WEIGHTS = Path(__file__).parent / "weights" / "judge.safetensors"


class Judge(Encoder):
    """The encoder of the metrics: the last ReLU of every block, and one vector for each image."""

    def __init__(self) -> None:
        super().__init__(JUDGE, JUDGE.block_ends())

    def pooled(self, images: Tensor) -> Tensor:
        """Images (B,3,H,W) in [-1,1] to (B,64): the mean over positions of the last ReLU."""
        return self(images)[-1].mean(dim=(2, 3))


def load_judge() -> Judge:
    """The bundled judge, which shares neither weights nor shape nor seed with the small encoder."""
    return Judge().load(WEIGHTS)
