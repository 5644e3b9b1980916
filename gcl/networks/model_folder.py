"""A trained model as a folder: safetensors of its networks, model.json, and a README.md that says what it is.

No pickles. A training leaves generator.safetensors, discriminator.safetensors and contrast.safetensors and, if it was
validated, generator_best.safetensors. Only the first is needed to translate.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from gcl.config import Checkpoint, GeneratorConfig
from gcl.errors import UserError
from gcl.files import write_json, write_whole
from gcl.networks.generator import Generator
from gcl.networks.model_card import model_card
from gcl.networks.weight_checks import State, differences, not_finite

FORMAT = 1

GENERATORS: dict[Checkpoint, str] = {"last": "generator.safetensors", "best": "generator_best.safetensors"}
"""The files of a training's two checkpoints."""

NOT_NAMED = {"residual": False, "normalization": "instance"}
"""The arguments of a generator that older models and those of others do not name."""


def save_generator(folder: Path, generator: nn.Module, description: dict[str, Any]) -> None:
    """Writes the weights, ``description`` and a model card.

    ``description`` is JSON-ready; its key ``generator`` holds the network's arguments.
    """
    save_weights(generator, folder / GENERATORS["last"])
    write_json(folder / "model.json", {"format": FORMAT, **description})
    write_whole(folder / "README.md", model_card(description).encode())


def save_weights(network: nn.Module, path: Path) -> None:
    """Writes the state of ``network`` as safetensors."""
    save_tensors(network.state_dict(), path)


def save_tensors(tensors: State, path: Path) -> None:
    """Writes ``tensors`` as safetensors."""
    write_whole(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def read_description(folder: Path) -> dict[str, Any]:
    """The contents of model.json; UserError if it is missing, unreadable or of another format."""
    path = folder / "model.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no model here (model.json is missing); train one with: gcl train") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise UserError(f"{path}: format {found}, but this version reads format {FORMAT}")
    return description


def load_generator(folder: Path | str, checkpoint: Checkpoint = "last") -> Generator:
    """Rebuilds the generator of a model folder, on the CPU, in evaluation mode.

    ``checkpoint`` is the one after the training's last step, or the best on its validation images. UserError if the
    folder holds no such model, or if its weights are not finite or do not have the sizes in its model.json.
    """
    folder = Path(folder)
    generator = empty_generator(read_description(folder).get("generator"), folder / "model.json")
    path = folder / GENERATORS[checkpoint]
    if checkpoint == "best" and not path.is_file():
        raise UserError(
            f"{folder}: this model has no best checkpoint; use its last one. A training keeps a best one if it has "
            "validation images: data.validation_share or data.scenes_validation above 0"
        )
    load_weights(generator, path)
    return generator.eval()


def build_generator(arguments: Any, origin: Path) -> Generator:
    """Builds a generator from its ``arguments``; UserError, which names ``origin``, if they are not valid."""
    if isinstance(arguments, dict):
        arguments = NOT_NAMED | arguments
    try:
        return Generator(**GeneratorConfig.model_validate(arguments).model_dump())
    except ValidationError as error:
        problems = [".".join(["generator", *map(str, found["loc"])]) + f": {found['msg']}" for found in error.errors()]
        raise UserError(f"{origin}: no generator can be built from this: {'; '.join(problems)}") from error


def empty_generator(arguments: Any, origin: Path) -> Generator:
    """Like :func:`build_generator`, but on the meta device, where the weights take no memory whatever their sizes."""
    with torch.device("meta"):
        return build_generator(arguments, origin)


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads a safetensors file into ``network``, which may be on the meta device; its weights are then on the CPU.

    UserError if the file is missing or damaged, or holds values that are not finite, other names or other shapes. The
    message says what was expected and what was found.
    """
    expected = network.state_dict()
    _check_header(expected, path)
    state = read_weights(path)
    # The tensors are assigned, because on the meta device there is no memory to copy into.
    network.load_state_dict({name: state[name].to(entry.dtype) for name, entry in expected.items()}, assign=True)


def read_weights(path: Path) -> State:
    """The tensors of a safetensors file; UserError if it is missing or damaged, or holds values that are not finite."""
    with _readable(path):
        state = load_file(path)
    if told := not_finite(state):
        raise UserError(f"{path}: {told}: the model cannot be used; train it again or choose another")
    return state


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: file is missing") from error
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from error


def _check_header(expected: State, path: Path) -> None:
    """UserError unless the file holds tensors of the ``expected`` names and shapes; only its header is read."""
    with _readable(path), safe_open(path, framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    found = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    if told := differences(expected, found):
        raise UserError(f"{path}: does not hold the weights that were expected: {told}")
