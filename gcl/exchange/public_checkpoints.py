"""Imports published generators: .pth files of the CUT family (CUT, FastCUT, Hneg-SRC, PatchGCL) as model folders.

A .pth file is a pickle, which can run any code its author wrote; torch's reader for weights alone runs none of it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcl.errors import UserError
from gcl.files import replaced_folder, sha256
from gcl.networks.generator import Generator
from gcl.networks.layers import BlurUpsample
from gcl.networks.model_folder import build_generator, empty_generator, save_generator
from gcl.networks.weight_checks import State, differences, generator_arguments, not_finite, shortened

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""The endings of the names of a normalisation's running statistics."""

EXPECTED = "expected a ResNet generator of the CUT family (model.1.weight of shape (channels, 3, 7, 7) and so on)"


def import_checkpoint(checkpoint: Path, target: Path) -> dict[str, Any]:
    """Writes the generator in ``checkpoint`` to the model folder ``target`` and returns its description.

    The sizes are derived from the weights. Their names may begin with ``module.``, and they may be in a dict of several
    networks. The description's origin lists the entries that were ``dropped``: running statistics, which old versions
    of torch kept for normalisations that never use them. UserError, and nothing is written, if the file is unreadable,
    holds anything but tensors, no such generator, more than one, or values that are not finite, or if it is inside
    ``target``.
    """
    if checkpoint.resolve().is_relative_to(target.resolve()):
        raise UserError(f"{target} holds {checkpoint.name}; write somewhere else")
    generator, arguments, dropped = _only_generator(_read_states(checkpoint), checkpoint)
    origin = {"file": checkpoint.name, "sha256": sha256(checkpoint), **({"dropped": dropped} if dropped else {})}
    description = {"generator": arguments, "origin": origin}
    with replaced_folder(target) as folder:
        save_generator(folder, generator, description)
    return description


def _read_states(checkpoint: Path) -> dict[str, State]:
    """The networks in a .pth file by their names in it; a single network has the file's name."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such file")
    try:
        contents = torch.load(checkpoint, map_location="cpu", weights_only=True)
    # The reader may raise any exception on a damaged file.
    except Exception as error:
        raise UserError(f"{checkpoint}: {EXPECTED}, found {_reason(error)}; none of its code was run") from error
    if not isinstance(contents, Mapping):
        raise UserError(f"{checkpoint}: {EXPECTED}, found a {type(contents).__name__}")
    parts = {checkpoint.name: contents} | {str(name): part for name, part in contents.items()}
    states = {name: _without_module(part) for name, part in parts.items() if _is_state(part)}
    if not states:
        raise UserError(f"{checkpoint}: {EXPECTED}, found no state dict, which holds tensors by name and nothing else")
    return states


def _reason(error: Exception) -> str:
    # torch's own message advises switching its protection off.
    call = re.search(r"GLOBAL ([\w.]+)", str(error))
    if call:
        return f"a file that holds more than weights: loading it would call {call[1]}, which is refused"
    return "a file that cannot be read as weights saved by torch"


def _is_state(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and len(part) > 0
        and all(isinstance(name, str) for name in part)
        and all(isinstance(value, Tensor) for value in part.values())
    )


def _without_module(state: State) -> State:
    """``state`` without the prefix ``module.``, which training on several GPUs adds to every name."""
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _statistics(state: State) -> list[str]:
    """The running statistics of normalisations that have no weights."""
    found = [name.rpartition(".") for name in state if name.endswith(STATISTICS)]
    return [f"{layer}.{entry}" for layer, _, entry in found if f"{layer}.weight" not in state]


def _only_generator(all_states: dict[str, State], checkpoint: Path) -> tuple[Generator, dict[str, Any], list[str]]:
    """The only generator among the states, with its weights; its arguments; and the entries that it does not use."""
    unused = {name: _statistics(state) for name, state in all_states.items()}
    states = {
        name: {entry: tensor for entry, tensor in state.items() if entry not in unused[name]}
        for name, state in all_states.items()
    }
    told = {name: _unfit(state) for name, state in states.items()}
    fitting = [name for name, reason in told.items() if not reason]
    if len(fitting) > 1:
        raise UserError(f"{checkpoint}: expected one generator, found several: {', '.join(fitting)}")
    if not fitting:
        reasons = "; ".join(f"found in {name}: {reason}" for name, reason in told.items())
        raise UserError(f"{checkpoint}: {EXPECTED}; {reasons}")
    state = states[fitting[0]]
    arguments = generator_arguments(state)
    generator = build_generator(arguments, checkpoint)
    for name, module in generator.named_modules():
        if isinstance(module, BlurUpsample) and not torch.allclose(state[f"{name}.filt"].float(), module.filt):
            raise UserError(
                f"{checkpoint}: {name}.filt is not the filter [1,3,3,1], the only one supported for upsampling"
            )
    if told := not_finite(state):
        raise UserError(f"{checkpoint}: {told}; the generator cannot be used")
    generator.load_state_dict(state)
    return generator, arguments, unused[fitting[0]]


def _unfit(state: State) -> str:
    """Why ``state`` does not fit this project's generator; empty if it does."""
    arguments = generator_arguments(state)
    if any(name.endswith(STATISTICS) for name in state):
        return (
            "its normalisations have weights of their own, as batch normalisation does; those of this generator do not"
        )
    if arguments is None:
        return shortened([f"{name} {tuple(tensor.shape)}" for name, tensor in state.items()])
    sizes = ", ".join(f"{key} {value}" for key, value in arguments.items())
    try:
        expected = empty_generator(arguments, Path("weights")).state_dict()
    except UserError as error:
        return f"what looks like {sizes}, but {error}"
    told = differences(expected, state)
    return f"what looks like {sizes}, but {told}" if told else ""
