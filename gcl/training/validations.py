"""The validations of a training: their metrics, the best checkpoint so far, and when to stop early."""

import copy
import math
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from gcl.config import TrainConfig
from gcl.measures.validation import Validation
from gcl.networks.inference import NotFiniteError, translate_folder
from gcl.training.trainer import Trainer


class Validations:
    """The validations of the training of ``trainer``, which they leave as it is, bit for bit.

    Args:
        validation: measures folders of translations.
        trainer: the training.
        config: says when to validate, by which metric checkpoints are chosen, and when to stop.
        state: what :meth:`state` returned, to go on from there.
    """

    def __init__(
        self, validation: Validation, trainer: Trainer, config: TrainConfig, state: Mapping[str, Any] | None = None
    ):
        self._validation, self._trainer, self._config = validation, trainer, config
        self.by = {"kid": validation.kid, "lpips_to_truth": validation.to_truth}[config.best_by]
        """The name of the metric that chooses; lower is better."""
        begun = time.monotonic()
        if state is None:
            state = {"seconds": 0.0, "best": None, "last": {}, "worse_since": 0, "yardsticks": self._yardsticks()}
        self.yardsticks: dict[str, dict[str, float]] = state["yardsticks"]
        """The metrics of the untranslated validation images, and those of real images of B."""
        self.best: dict[str, Any] | None = state["best"]
        """Its ``step``, ``metrics`` and ``weights``: the best checkpoint so far; None before the first validation."""
        self.last: dict[str, float] = state["last"]
        """The metrics of the last validation."""
        self._worse_since: int = state["worse_since"]
        self.seconds: float = state["seconds"] + time.monotonic() - begun
        """How long all validations took."""

    @property
    def images(self) -> dict[str, int]:
        """How many images of each domain are measured."""
        return self._validation.counts

    def validate(self, step: int) -> dict[str, float]:
        """The metrics, by name, of the generator that translates; the one that chooses comes last.

        The best generator so far is kept.
        """
        begun = time.monotonic()
        metrics = self._measure()
        self.last = metrics | {self.by: metrics.pop(self.by)}
        if self.best is None or _rank(self.last[self.by]) < _rank(self.best["metrics"][self.by]):
            self.best = {"step": step, "metrics": self.last, "weights": self._weights()}
            self._worse_since = 0
        else:
            self._worse_since += 1
        self.seconds += time.monotonic() - begun
        return self.last

    @property
    def hopeless(self) -> bool:
        """Whether ``stop_after`` validations in a row brought nothing better."""
        return self._config.stop_after is not None and self._worse_since >= self._config.stop_after

    def state(self) -> dict[str, Any]:
        """What a resumed training needs, as dictionaries of tensors and numbers."""
        return {
            "seconds": self.seconds,
            "best": self.best,
            "last": self.last,
            "worse_since": self._worse_since,
            "yardsticks": self.yardsticks,
        }

    def _yardsticks(self) -> dict[str, dict[str, float]]:
        return {
            "untranslated": self._validation.untranslated(),
            "real": self._validation.real(),
        }

    def _measure(self) -> dict[str, float]:
        # A copy, because translating changes a network's mode and memory format.
        generator, fabric = copy.deepcopy(self._trainer.translator), self._trainer.fabric
        with TemporaryDirectory() as inputs, TemporaryDirectory() as translated:
            for path in self._validation.inputs:
                (Path(inputs) / path.name).symlink_to(path.resolve())
            try:
                list(translate_folder(generator, Path(inputs), Path(translated), fabric.device, fabric.autocast))
            except NotFiniteError:
                # In half precision this may pass; the losses tell if it does not.
                return dict.fromkeys(self.yardsticks["untranslated"], math.nan)
            return self._validation.measure(Path(translated))

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self._trainer.translator.state_dict().items()}


def _rank(value: float) -> float:
    """``value``, or infinity instead of NaN."""
    return math.inf if math.isnan(value) else value
