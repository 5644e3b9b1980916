"""A small generator and its model folder, for the tests of translating."""

from pathlib import Path

import torch

from gcl.networks.generator import Generator
from gcl.networks.model_folder import save_generator

SIZES = {"channels": 4, "blocks": 1, "downsamplings": 2, "resampling": "resize"}


def small_generator() -> Generator:
    torch.manual_seed(0)
    network = Generator(**SIZES)
    # The published initialisation is so small that every output would be gray.
    torch.nn.init.normal_(network.model[-2].weight, std=0.5)
    return network.eval()


def save_model(folder: Path, generator: Generator) -> Path:
    folder.mkdir()
    save_generator(folder, generator, {"generator": SIZES})
    return folder
