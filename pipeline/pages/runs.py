"""The main run and its variants: where their files lie."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import pandas as pd

from gcl.config import MAIN, Params
from gcl.errors import UserError
from gcl.measures.rows import Row, read_rows
from pipeline.pages.rendering import existing
from pipeline.stages.variants import seed_folder
from pipeline.variants import seeds_of


@dataclass(frozen=True)
class Run:
    """One training with its evaluation: where its files lie, read when first asked for.

    A UserError names a missing file and the command that makes it. ``variant`` is None for the run of the main stages.
    """

    reports: Path
    translated: Path
    run_file: Path
    variant: str | None = None

    @cached_property
    def metrics(self) -> dict[str, Row]:
        """The rows of evaluation.json by the metrics' names."""
        rows = read_rows(self._existing(self.reports / "evaluation.json", "gcl evaluate"))
        return {row["name"]: row for row in rows}

    @cached_property
    def per_image(self) -> pd.DataFrame:
        """One row a test image, one column a metric."""
        path = self._existing(self.reports / "per_image.csv", "gcl evaluate")
        # Names are text: the image 007.png is not 7, and NA.png is not missing.
        return pd.read_csv(path, dtype={"image": str}, keep_default_na=False).set_index("image")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Losses over the steps."""
        return pd.read_csv(self._existing(self.reports / "curves.csv", "gcl train"))

    @property
    def training_seconds(self) -> float:
        """How long the training took."""
        path = self._existing(self.run_file, "gcl train")
        try:
            return json.loads(path.read_text(encoding="utf-8"))["training_seconds"]
        except KeyError as error:
            raise UserError(f"{path}: no training_seconds in it; run: {self.command('gcl train')}") from error

    def translation(self, stem: str) -> Path:
        """The translated image of that name."""
        return self._existing(self.translated / f"{stem}.png", "gcl translate")

    def command(self, stage: str) -> str:
        """What to run for the files of ``stage``: that stage itself, or the one that makes the variant."""
        return stage if self.variant is None else f"gcl ablate {self.variant}"

    def _existing(self, path: Path, stage: str) -> Path:
        return existing(path, self.command(stage))


Runs = dict[str, list[Run]]
"""By variant, the main setting first: a run a seed."""


def find_runs(params: Params, main: Run, ablations: Path) -> Runs:
    """``main`` and all runs in ``ablations``; UserError unless all were measured on the same test images."""
    if seeds_of(params, MAIN) and MAIN not in params.ablate.variants:
        raise UserError(
            f"ablate.seeds is {params.ablate.seeds}, but no variant runs the main setting with the seeds after the "
            f"first; add this line to ablate.variants in params.yaml: {MAIN}: {{}}"
        )

    def run(variant: str, seed: int) -> Run:
        folder = seed_folder(ablations / variant, seed)
        return Run(folder, folder / "translated", folder / "run.json", variant)

    runs = {MAIN: []} | {name: [run(name, seed) for seed in seeds_of(params, name)] for name in params.ablate.variants}
    runs[MAIN].insert(0, main)
    for other in chain(*runs.values()):
        if not other.per_image.index.equals(main.per_image.index):
            raise UserError(
                f"{other.reports}: measured on other test images than {main.reports}; "
                f"run: {other.command('gcl evaluate')}"
            )
    return runs
