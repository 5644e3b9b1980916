"""What an interrupted training goes on from: a folder of states, each one file that is whole or not there."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from gcl.files import write_whole

KEPT = 2
"""States in a folder: should the newest be damaged, there is one before it."""

PLACE = "tensor"
"""The only key of what stands in a tensor's place in the JSON part."""


@dataclass(frozen=True)
class State:
    """What :func:`save_state` was given, and the newer files beside it that were not as they were written."""

    step: int
    contents: dict[str, Any]
    damaged: list[Path]


def save_state(folder: Path, step: int, contents: dict[str, Any]) -> None:
    """Writes ``contents``, dictionaries and lists of tensors and of what JSON can hold; removes what is too old.

    The file's name ends with the start of its SHA-256, by which damage is seen. Keys come back as text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: list[Tensor] = []
    plain = json.dumps(_without_tensors(contents, tensors))
    content = save({str(place): tensor for place, tensor in enumerate(tensors)}, {"contents": plain})
    write_whole(folder / f"step_{step:08d}_{_digest(content)}.safetensors", content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def newest_state(folder: Path) -> State | None:
    """The newest state that is undamaged; None if there is none."""
    damaged = []
    for path in _newest_first(folder):
        step, digest = path.stem.removeprefix("step_").split("_")
        if _digest(path.read_bytes()) == digest:
            return State(int(step), _read(path), damaged)
        damaged.append(path)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*_*.safetensors"), reverse=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return _with_tensors(json.loads(file.metadata()["contents"]), file)


def _without_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """``value`` for JSON: its tensors are moved to the end of ``tensors``."""
    if isinstance(value, Tensor):
        tensors.append(value.detach().cpu().contiguous())
        return {PLACE: len(tensors) - 1}
    if isinstance(value, dict):
        return {key: _without_tensors(entry, tensors) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(entry, tensors) for entry in value]
    return value


def _with_tensors(value: Any, file: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {PLACE}:
            return file.get_tensor(str(value[PLACE]))
        return {key: _with_tensors(entry, file) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_tensors(entry, file) for entry in value]
    return value
