"""Frozen feature networks of the VGG family: the small encoder, VGG16 and the judge of the metrics."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from gcl.networks.architectures import EncoderError, Plan
from gcl.networks.weight_checks import entry_differences, not_finite
from gcl.networks.weight_files import read_state


class Encoder(nn.Module):
    """Features of images after chosen ReLUs of a frozen VGG-like network.

    ``channels`` holds the number of channels of each chosen layer, in the order of ``layers``, and ``strides`` the
    pixels between two neighbouring features. The network is always in evaluation mode. No parameter requires a
    gradient, but gradients flow through to the images. A new encoder has random weights until :meth:`load` is called.

    Raises EncoderError if no layer is given, or for a layer that the plan does not have.
    """

    def __init__(self, plan: Plan, layers: Sequence[str]) -> None:
        super().__init__()
        self.plan = plan
        self.layers = list(layers)
        allowed = plan.layers()
        for name in self.layers:
            if name not in allowed:
                raise EncoderError(f"unknown encoder layer {name!r}: the layers are {', '.join(allowed)}")
        if not self.layers:
            raise EncoderError(f"no encoder layer chosen: the layers are {', '.join(allowed)}")
        self.features, self._names = _up_to(plan, max(self.layers, key=allowed.index))
        self.channels = [plan.widths[_block_of(name)] for name in self.layers]
        self.strides = [2 ** _block_of(name) for name in self.layers]
        # (3,) -> (3,1,1). They are not part of the state, because published VGG16 files do not hold them.
        for name in ("mean", "standard_deviation"):
            scale = torch.tensor(getattr(plan, name)).view(3, 1, 1)
            self.register_buffer(name, scale, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever ``mode`` is, so that the model around it can switch freely."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps images (B,3,H,W) in [-1,1] to one (B,C,H',W') of values >= 0 per chosen layer, in the order given.

        H' and W' halve, rounded down, with every block after the first.
        """
        hidden = ((images + 1) / 2 - self.mean) / self.standard_deviation
        found = {}
        for name, layer in zip(self._names, self.features, strict=True):
            hidden = layer(hidden)
            if name in self.layers:
                found[name] = hidden
        return [found[name] for name in self.layers]

    def load(self, weights: Path) -> Self:
        """Loads a file that holds the state of the whole network or of its lower part.

        Keys are features.N.weight and features.N.bias as torchvision numbers them; classifier.* is ignored.
        Raises FileNotFoundError for a missing file and EncoderError for one that does not hold this network.
        """
        state = read_state(weights)
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        differences = entry_differences(self.state_dict(), state, allowed=_whole(self.plan).state_dict())
        if differences:
            raise EncoderError(f"{weights} does not hold this encoder: {_shortened(differences)}")
        used = {key: state[key] for key in self.state_dict()}
        if told := not_finite(used):
            raise EncoderError(f"{weights}: {told}")
        self.load_state_dict(used)
        return self


def layers_of(plan: Plan) -> Iterator[tuple[str, nn.Module]]:
    """Yields every layer of a ``plan`` as ("conv1_1", Conv2d), ("relu1_1", ReLU), ..., ("pool1", MaxPool2d), ..."""
    channels = 3
    for block, (width, depth) in enumerate(zip(plan.widths, plan.convolutions, strict=True), start=1):
        for convolution in range(1, depth + 1):
            yield f"conv{block}_{convolution}", nn.Conv2d(channels, width, 3, padding=1)
            yield f"relu{block}_{convolution}", nn.ReLU(inplace=True)
            channels = width
        yield f"pool{block}", nn.MaxPool2d(2)


def _up_to(plan: Plan, last: str) -> tuple[nn.Sequential, list[str]]:
    """The plan's layers up to the one named ``last``, with random weights, and their names."""
    layers, names = nn.Sequential(), []
    for name, layer in layers_of(plan):
        layers.append(layer)
        names.append(name)
        if name == last:
            break
    return layers, names


def _block_of(name: str) -> int:
    """The zero-based block of a layer named relu{block}_{convolution}."""
    return int(name.removeprefix("relu").split("_")[0]) - 1


def _whole(plan: Plan) -> Encoder:
    # On the meta device the layers take no memory and draw no random numbers.
    with torch.device("meta"):
        return Encoder(plan, plan.block_ends())


def _shortened(differences: list[str], most: int = 6) -> str:
    more = len(differences) - most
    return "; ".join(differences[:most]) + (f"; and {more} more differences" if more > 0 else "")
