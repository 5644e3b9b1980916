"""One training with its evaluation: where its files are, and how they are written and read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd

from gcl.errors import UserError
from gcl.files import write_json, write_whole

DIGITS = "%.6g"
"""The format of values in tables."""

PREFIX = "validation_"
"""What the names of metrics of the validation images begin with, so that nobody takes them for those of the tests."""


@dataclass(frozen=True)
class SavedRun:
    """What is needed to continue an MLflow run: our key, and MLflow's id unless the run never reached its store."""

    key: str
    run_id: str | None


@dataclass(frozen=True)
class RunFolder:
    """One training with its evaluation: the main stages' own, or that of one seed of a variant of the ablation.

    Results are read once, when they are first asked for. A UserError names a missing file and the command that makes
    it.

    Args:
        model, translated, reports: the folders that training, translation and evaluation fill.
        run_file: the file that keeps the MLflow run; None to evaluate translations whose training is not known.
        variant: the variant of the ablation; None for the run of the main stages.
        other: the folder of the translations by the training's other checkpoint, empty if there is none; None if nobody
            translates with it.
    """

    model: Path
    translated: Path
    reports: Path
    run_file: Path | None
    variant: str | None = None
    other: Path | None = None

    @classmethod
    def inside(cls, folder: Path, variant: str) -> "RunFolder":
        """The run of one seed of a ``variant``, with everything in one ``folder``."""
        return cls(folder / "model", folder / "translated", folder, folder / "run.json", variant)

    def command(self, stage: str) -> str:
        """The command that makes the files of ``stage``: that stage itself, or the one that makes the variant."""
        return stage if self.variant is None else f"gcl ablate {self.variant}"

    # --- training ------------------------------------------------------------------------------------------------

    @property
    def curves_file(self) -> Path:
        """The table of losses, which DVC plots."""
        return self.reports / "curves.csv"

    @property
    def validation_file(self) -> Path:
        """The table of validations, whose last column DVC plots."""
        return self.reports / "validation.csv"

    @property
    def samples(self) -> Path:
        """The folder of the sample grids."""
        return self.reports / "samples"

    def write_curves(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes the losses and validations so far; each row has its ``step`` and, by name, what is known of it.

        The validations are also written alone, because DVC's plots draw no line across steps without a value.
        """
        self.reports.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows)
        measured = [name for name in table.columns if name.startswith(PREFIX)]
        ordered = [name for name in table.columns if name not in measured] + measured
        validations = table[["step", *measured]].dropna() if measured else pd.DataFrame(columns=["step", PREFIX])
        for file, columns in ((self.curves_file, table[ordered]), (self.validation_file, validations)):
            write_whole(file, columns.to_csv(index=False, float_format=DIGITS).encode())

    @cached_property
    def curves(self) -> pd.DataFrame:
        """The losses over the steps, with the columns ``step`` and one per loss."""
        table = self._table
        losses = [name for name in table.columns if name != "step" and not name.startswith(PREFIX)]
        return table[["step", *losses]].dropna(subset=losses, how="all").reset_index(drop=True)

    @cached_property
    def validation(self) -> pd.DataFrame:
        """The metrics of the validation images over the steps, with the columns ``step`` and one per metric.

        It is empty for a training without validation images.
        """
        table = self._table
        names = [name for name in table.columns if name.startswith(PREFIX)]
        known = table[["step", *names]].dropna().rename(columns=lambda name: name.removeprefix(PREFIX))
        return known.reset_index(drop=True) if names else known.iloc[:0]

    @cached_property
    def _table(self) -> pd.DataFrame:
        return pd.read_csv(self._existing(self.curves_file, "gcl train"))

    def save(self, run: SavedRun, training_seconds: float) -> None:
        """Writes how long the training took and its MLflow run. They are among the outputs of training, so that they
        are known when DVC restores the outputs."""
        self.run_file.parent.mkdir(parents=True, exist_ok=True)
        contents = {**asdict(run), "training_seconds": round(training_seconds, 1)}
        write_whole(self.run_file, (json.dumps(contents) + "\n").encode())

    def saved(self) -> SavedRun | None:
        """The MLflow run that :meth:`save` wrote; None without a complete file. Runs that were saved before there were
        keys use their id as key."""
        try:
            contents = json.loads(self.run_file.read_text(encoding="utf-8"))
            run_id = contents.get("run_id")
            return SavedRun(UUID(contents.get("key", run_id)).hex, run_id)
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return None

    @property
    def training_seconds(self) -> float:
        """How long the training took, in seconds."""
        path = self._existing(self.run_file, "gcl train")
        try:
            return json.loads(path.read_text(encoding="utf-8"))["training_seconds"]
        except KeyError as error:
            raise UserError(f"{path}: no training_seconds in it; run: {self.command('gcl train')}") from error

    # --- translation and evaluation ------------------------------------------------------------------------------

    def translation(self, stem: str) -> Path:
        """The translation of the test image called ``stem``."""
        return self._existing(self.translated / f"{stem}.png", "gcl translate")

    @property
    def translates_itself(self) -> bool:
        """Whether it is known that ``model`` made the translations: a variant's, or the main stages' own."""
        return (self.variant is not None or self.other is not None) and (self.model / "model.json").is_file()

    @property
    def other_translated(self) -> Path | None:
        """The folder of the translations by the other checkpoint; None if there are none."""
        return self.other if self.other is not None and any(self.other.glob("*.png")) else None

    def write_evaluation(
        self,
        metrics: Mapping[str, float],
        yardsticks: Mapping[str, Mapping[str, float]],
        rows: Sequence[Mapping[str, Any]],
        per_image: pd.DataFrame,
    ) -> list[Path]:
        """Writes the four files of an evaluation, and returns their paths.

        ``metrics`` are by name; ``yardsticks`` are the same metrics of doing nothing, of another input and of
        real images. DVC shows both. ``rows`` hold every metric with how it was measured. ``per_image`` is as
        :attr:`per_image` returns it.
        """
        self.reports.mkdir(parents=True, exist_ok=True)
        contents = {"metrics.json": metrics, "yardsticks.json": yardsticks, "evaluation.json": rows}
        for name, content in contents.items():
            write_json(self.reports / name, content)
        write_whole(self.reports / "per_image.csv", per_image.to_csv(float_format=DIGITS).encode())
        return [self.reports / name for name in (*contents, "per_image.csv")]

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The rows of evaluation.json by the metrics' names."""
        text = self._existing(self.reports / "evaluation.json", "gcl evaluate").read_text(encoding="utf-8")
        return {row["name"]: row for row in json.loads(text)}

    @cached_property
    def per_image(self) -> pd.DataFrame:
        """One row per test image, one column per metric."""
        path = self._existing(self.reports / "per_image.csv", "gcl evaluate")
        # Names are text: the image 007.png is not called 7, and NA.png is not a missing value.
        return pd.read_csv(path, dtype={"image": str}, keep_default_na=False).set_index("image")

    def _existing(self, path: Path, stage: str) -> Path:
        if not path.is_file():
            raise UserError(f"{path}: not there yet; run: {self.command(stage)}")
        return path


def seed_folder(variant: Path, seed: int) -> Path:
    """The folder of the run of a ``seed``, in the folder of its ``variant``."""
    return variant / f"seed_{seed}"
