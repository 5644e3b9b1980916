"""What a sweep compares: finished runs, wherever they were found, and why others do not count."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gcl.contrast.methods import METHODS

SEED = "train.seed"

PATHS = ("data.path", "encoder.weights", "evaluate.inception_weights", "evaluate.alexnet_weights")
"""The parameters that are paths, which stages make absolute when DVC runs them."""


@dataclass(frozen=True)
class Run:
    """One training with its evaluation.

    Attributes:
        name: what its DVC experiment or MLflow run is called.
        seed: its ``train.seed``.
        params: all other parameters that it reads, flat: ``{"graph.hops": 2}``.
        metrics: the values of its metrics by name.
        untranslated: those of doing nothing, as far as they are known.
        origin: what makes two runs incomparable if it differs: the hash of the data, the commit of DVC experiments.
        code: the code that made it: the hashes of files and folders, or the commit of MLflow runs.
    """

    name: str
    seed: int
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    untranslated: Mapping[str, float]
    origin: Mapping[str, str]
    code: Mapping[str, str]

    def repeats(self, other: "Run") -> bool:
        """Whether both have the same parameters, seed and metrics."""
        same = same_form(self.params) == same_form(other.params)
        return same and self.seed == other.seed and self.metrics == other.metrics


class LeftOut(NamedTuple):
    """A run that does not count, and the reason, in Markdown."""

    name: str
    reason: str


class Found(NamedTuple):
    """``runs``, the newest first; the runs that are ``left_out``; and where they were looked for, in Markdown."""

    runs: Sequence[Run]
    left_out: Sequence[LeftOut]
    place: str


def read_by_run(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the ``flat`` parameters on which the metrics of a run can depend: all but the ablation's and those of
    methods that it does not use. Of a path only the name counts, since the rest belongs to one machine."""
    unread = {"ablate"}
    if flat.get("method") in METHODS:
        of_methods = {section for method in METHODS.values() for section in method.reads}
        unread |= of_methods - set(METHODS[flat["method"]].reads)
    read = {key: value for key, value in flat.items() if key.split(".")[0] not in unread}
    return read | {key: Path(read[key]).name for key in PATHS if isinstance(read.get(key), str)}


def same_form(value: Any) -> str:
    """Text that is the same for equal values, be they lists, or whole numbers with or without a decimal point."""
    return json.dumps(_without_points(value), sort_keys=True, default=str)


def _without_points(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_points(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _without_points(entry) for key, entry in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
