"""The states from which an interrupted training resumes: files in a folder, each written whole or not at all."""

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
"""The number of states kept in a folder: if the newest is damaged, the one before it remains."""

PLACE = "tensor"
"""The only key of the JSON object that stands for a tensor."""


@dataclass(frozen=True)
class State:
    """The ``step`` and ``contents`` given to :func:`save_state`, and the newer files that turned out damaged."""

    step: int
    contents: dict[str, Any]
    damaged: list[Path]


def save_state(folder: Path, step: int, contents: dict[str, Any]) -> None:
    """Writes ``contents``, nested dictionaries and lists of tensors and JSON values, and removes old states.

    The file's name ends in the first digits of its SHA-256, which reveals damage. Keys are read back as strings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: list[Tensor] = []
    plain = json.dumps(_without_tensors(contents, tensors))
    content = save({str(place): tensor for place, tensor in enumerate(tensors)}, {"contents": plain})
    write_whole(folder / f"step_{step:08d}_{_digest(content)}.safetensors", content)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def newest_state(folder: Path) -> State | None:
    """The newest undamaged state; None if there is none."""
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
    """``value`` in a form that JSON can hold; its tensors are appended to ``tensors``."""
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
