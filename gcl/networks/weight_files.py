"""Reads files of weights that others wrote, without running any code in them."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gcl.networks.architectures import EncoderError


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch.save wrote.

    Raises FileNotFoundError for a missing file and EncoderError for one that holds anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no encoder weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise EncoderError(f"{path} is not a readable file of weights: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise EncoderError(f"{path} is not a state dict: it must hold tensors by name and nothing else")
    return state
