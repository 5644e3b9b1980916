"""A project folder with made-up runs, for the tests of the comparison of variants."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from gcl.config import Params
from gcl.images.decoding import save_png
from gcl.images.manifest import Manifest, describe
from gcl.images.prepared import Prepared
from pipeline.running.run_folder import RunFolder, SavedRun
from pipeline.stages.compare import compare

STEMS = [f"{number:03}" for number in range(9)]
"""Names that a careless reader takes for numbers."""


def write_run(run: RunFolder, pair: np.ndarray, fid: float, curves: dict) -> None:
    """Writes one run; ``pair`` (9,) is the distance of each image to the truth."""
    told = {"untranslated": 9.5, "another": None, "real": None, "better": "lower", "compares": "pairs"}
    told |= {"meaning": "is a distance", "misleads": None, "real_images": None, "note": None}
    told |= {"scope": "the small network's"}
    rows = [
        {"name": "fid_small", "value": fid, **told, "real": 0.0725, "real_images": "trainB", "compares": "sets"},
        {"name": "lpips_small_to_truth", "value": pair.mean(), **told},
        {"name": "psnr_to_truth", "value": 13.5, **told, "better": "higher", "misleads": "it is blind", "scope": None},
    ]
    table = pd.DataFrame({"image": STEMS, "lpips_small_to_truth": pair, "psnr_to_truth": 13.5}).set_index("image")
    run.write_evaluation({}, {}, rows, table)
    run.write_curves([{"step": step, "discriminator": 0.2, **curves} for step in (2, 4)])
    run.save(SavedRun("0" * 32, None), 100 * fid)
    write_images(run.translated, round(255 * fid) % 256)


def write_images(folder: Path, gray: int) -> Manifest:
    folder.mkdir(parents=True)
    for stem in STEMS:
        save_png(np.full((16, 16, 3), gray, dtype=np.uint8), folder / f"{stem}.png")


@dataclass
class Runs:
    """A project folder with made-up runs."""

    root: Path
    settings: dict
    drawn: dict = field(default_factory=dict)

    @property
    def params(self) -> Params:
        return Params.model_validate(self.settings)

    @property
    def page(self) -> str:
        return (self.root / "reports" / "ablation.md").read_text()

    def folder(self, variant: str, seed: int) -> Path:
        return self.root / "ablations" / variant / f"seed_{seed}"

    def prepare(self, paired: bool = True) -> None:
        splits = {split: self.root / "prepared" / split for split in ("trainA", "trainB", "testA", "testB")}
        for gray, folder in enumerate(splits.values()):
            write_images(folder, 60 * gray)
        entries = {
            split: [describe(path.name, Image.open(path)) for path in sorted(folder.iterdir())]
            for split, folder in splits.items()
        }
        Manifest("scenes", paired, False, entries).save(self.root / "prepared")

    @property
    def main(self) -> RunFolder:
        names = ("model", "translated", "reports", "run.json")
        return RunFolder(*(self.root / name for name in names))

    def write(self, variant: str, seed: int, pair: np.ndarray, fid: float, **curves) -> None:
        first = (variant, seed) == ("main", 0)
        run = self.main if first else RunFolder.inside(self.folder(variant, seed), variant)
        write_run(run, pair, fid, curves)

    def compare(self) -> str:
        compare(self.params, Prepared(self.root / "prepared"), self.main, self.root / "ablations")
        return self.page

    def row(self, variant: str) -> list[str]:
        """The cells of a row of the table, without its label and verdict."""
        line = next(line for line in self.page.splitlines() if line.startswith((f"| `{variant}`", f"| {variant} |")))
        return [cell.strip() for cell in line.strip("|").split("|")][2:]

    def verdicts(self) -> list[str]:
        """The verdicts in all rows of the table."""
        lines = [line for line in self.page.splitlines() if line.startswith("| ")]
        return [line.split("|")[2].strip() for line in lines[2:]]

    def change(self, **rows: dict) -> None:
        """Changes the rows of these metrics in every run's evaluation.json."""
        for file in self.root.rglob("evaluation.json"):
            old = json.loads(file.read_text())
            file.write_text(json.dumps([row | rows.get(row["name"], {}) for row in old]))


def made_up(settings: dict, folder: Path) -> Runs:
    """A paired data set and the variants main, no_pooling (worse by 0.25) and same, with one seed each."""
    settings["ablate"] = {"seeds": 1, "variants": {"no_pooling": {"pooling": False}, "same": {"weight": 1.0}}}
    runs = Runs(folder, settings)
    runs.prepare()
    for name, shift, fid in (("main", 0, 0.5), ("no_pooling", 0.25, 0.75), ("same", 0, 0.5)):
        runs.write(name, 0, np.arange(9) / 8 + shift, fid)
    return runs


def add_seeds(runs: Runs) -> None:
    """Gives every variant three seeds: main's fid is 0.5, 0.6 and 0.7; no_pooling's lies apart, same's does not."""
    runs.settings["ablate"]["seeds"] = 3
    runs.settings["ablate"]["variants"]["main"] = {}
    for seed in (1, 2):
        runs.write("main", seed, np.arange(9) / 8, 0.5 + seed / 10)
        runs.write("no_pooling", seed, np.arange(9) / 8 + 0.25, 0.75 + seed / 10)
        runs.write("same", seed, np.arange(9) / 8, 0.5)
