"""The weights that a training may begin with instead of random ones: those of another model."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gcl.config import Params
from gcl.contrast.methods import method_of
from gcl.errors import UserError
from gcl.files import sha256
from gcl.networks.model_folder import GENERATORS, NOT_NAMED, load_generator, read_description, read_weights
from gcl.networks.weight_checks import State, differences

DISCRIMINATOR, CONTRAST = "discriminator.safetensors", "contrast.safetensors"
"""The files, in a model folder, of what a training needs beside the generator."""


@dataclass(frozen=True)
class Start:
    """Another model's weights by network: generator and, where it has fitting ones, discriminator and contrast.

    Attributes:
        source: what the user calls the model.
        weights: the weights.
        lineage: what the new model's model.json says of the old one; its key ``notes`` says what is not taken, and why.
    """

    source: str
    weights: dict[str, State]
    lineage: dict[str, Any]

    def load_into(self, networks: Mapping[str, nn.Module]) -> None:
        """Replaces the weights of ``networks``; UserError, and nothing is replaced, if some do not fit."""
        told = {name: differences(networks[name].state_dict(), state) for name, state in self.weights.items()}
        if any(told.values()):
            faults = [f"{name}: {fault}" for name, fault in told.items() if fault]
            raise _misfit(self.source, faults)
        for name, state in self.weights.items():
            networks[name].load_state_dict(state)


def read_start(folder: Path, source: str, params: Params) -> Start:
    """The weights in the model ``folder``, which the user calls ``source``, for a training with ``params``.

    The generator is the one after the last step. A discriminator of the same kind is taken too, and so are the layers
    of the contrast if the method is the same and nothing that shapes them differs.

    UserError if there is no model, or if generator or discriminator have other sizes; it lists all that differ.
    """
    weights: dict[str, State] = {"generator": load_generator(folder).state_dict()}
    description = read_description(folder)
    ours = params.model_dump(mode="json")
    theirs = {**description, "generator": NOT_NAMED | description["generator"]}
    faults = _differing(ours, theirs, [("generator", key) for key in ours["generator"]])
    notes = []
    if reason := _no_discriminator(folder, ours, theirs):
        notes.append(f"the discriminator begins with random weights: {reason}")
    else:
        keys = ("channels", "layers", "spectral_norm") if params.discriminator.name == "patch" else ("channels",)
        faults += _differing(ours, theirs, [("discriminator", key) for key in keys])
        weights["discriminator"] = read_weights(folder / DISCRIMINATOR)
    if reason := _no_contrast(folder, params, ours, theirs):
        notes.append(f"the layers of the contrast begin with random weights: {reason}")
    else:
        weights["contrast"] = read_weights(folder / CONTRAST)
    if faults:
        raise _misfit(source, faults)
    return Start(source, weights, _lineage(folder, source, description, sorted(weights), notes))


def _no_discriminator(folder: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Why the model's discriminator is not taken; None if it is."""
    if "discriminator" not in theirs or not (folder / DISCRIMINATOR).is_file():
        return "the model has none"
    return "; ".join(_differing(ours, theirs, [("discriminator", "name")])) or None


def _no_contrast(folder: Path, params: Params, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    """Why the layers of the model's contrast are not taken; None if they are."""
    if "method" not in theirs or not (folder / CONTRAST).is_file():
        return "the model has none"
    if theirs["method"] != params.method:
        return f"method is {params.method}, and {theirs['method']} in the model"
    return "; ".join(_differing(ours, theirs, method_of(params).shaping)) or None


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], keys: Iterable[tuple[str, str]]) -> list[str]:
    """The ``keys``, as section and name, whose values differ, with both values."""
    pairs = [(f"{section}.{key}", ours[section][key], theirs[section].get(key)) for section, key in keys]
    return [
        f"{name} is {json.dumps(mine)}, and {json.dumps(other)} in the model"
        for name, mine, other in pairs
        if mine != other
    ]


def _misfit(source: str, faults: list[str]) -> UserError:
    listed = "\n- ".join(faults)
    return UserError(f"train.start_from = {source}: its weights do not fit params.yaml:\n- {listed}")


def _lineage(
    folder: Path, source: str, description: Mapping[str, Any], taken: list[str], notes: list[str]
) -> dict[str, Any]:
    # Of a path only the name is kept, since the rest belongs to one machine.
    name = source if source.startswith("runs:/") else Path(source).name
    inherited = {key: description[key] for key in ("data", "checkpoints", "origin", "start_from") if key in description}
    return {
        "model": name,
        "generator_sha256": sha256(folder / GENERATORS["last"]),
        "taken": taken,
        "notes": notes,
        **inherited,
    }
