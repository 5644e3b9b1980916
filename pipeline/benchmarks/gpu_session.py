"""All that is to be measured where a GPU is lent for a few minutes, by one command.

``python -m pipeline.benchmarks.gpu_session PHOTOGRAPHS OUTPUT`` fills the folder OUTPUT with

- ``benchmark.json``: the graph loss, the training step and translation, beside the published setting;
- ``synchronisation.json``: how often a published step waits for the device;
- ``photographs/``: the preset `photographs` at 256 pixels on the folder PHOTOGRAPHS, with as many steps as the time
  allows: curves, sample grids, metrics.

It stops after about 12 minutes, or as many as ``--minutes`` says.
"""

import argparse
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from ruamel.yaml import YAML

from gcl.files import write_json
from gcl.training.from_params import build_trainer
from pipeline.benchmarks.estimate import step_seconds
from pipeline.benchmarks.settings import drawn_data, offline, on_one_device, published
from pipeline.params import parse_params, read_mapping, read_params
from pipeline.presets.apply import apply_preset
from pipeline.running.devices import make_fabric

SIDE = {"data": {"image_size": 256}, "train": {"load_size": 286, "crop_size": 256}}

BESIDE_TRAINING = 100.0
"""The seconds kept for preparation, translation and evaluation."""

STEPS = 5
"""The number of steps that are watched for synchronisation."""


def main(photographs: Path, output: Path, minutes: float) -> None:
    """Runs the three parts one after another; the training gets what is left of the ``minutes``."""
    end = time.monotonic() + 60 * minutes
    output.mkdir(parents=True, exist_ok=True)
    _gcl("bench", "graph-loss", "step", "translation", "--output", output / "benchmark.json")
    write_json(output / "synchronisation.json", {"per_step": synchronisations(Path("params.yaml"))})
    _train(photographs.resolve(), output / "photographs", end)


def synchronisations(params_file: Path) -> float | None:
    """How often a published step waits for the device, on average; None without CUDA, where nothing can wait."""
    params = published(read_params(params_file))
    with offline(params) as local:
        trainer = build_trainer(local, make_fabric(on_one_device(local.train)))
        if trainer.fabric.device.type != "cuda":
            return None
        images = torch.zeros(2, 1, 3, 256, 256, device=trainer.fabric.device)
        trainer.step(*images)  # the first step waits while it sets up the optimisers
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(STEPS):
                trainer.step(*images)
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught) / STEPS


def _train(photographs: Path, folder: Path, end: float) -> None:
    """Prepares, trains, translates and evaluates with the stages' own commands, all in ``folder``."""
    folder.mkdir(exist_ok=True)
    file = folder / "params.yaml"
    file.write_bytes(Path("params.yaml").read_bytes())
    apply_preset("photographs", file)
    sections = read_mapping(file)
    for section, values in SIDE.items():
        sections[section] |= values
    sections["data"]["path"] = str(photographs)
    params = parse_params(sections, file)
    with drawn_data(params, train=4, test=4) as drawn:
        each = step_seconds(params, drawn)
    sections["train"]["steps"] = max(1, int((end - time.monotonic() - BESIDE_TRAINING) / each))
    with file.open("w", encoding="utf-8") as text:
        YAML(typ="safe").dump(sections, text)
    prepared, translated = ("--prepared", folder / "prepared"), folder / "translated"
    _gcl("prepare", "--params", file, "--target", folder / "prepared")
    own = ("--model", folder / "model", "--params", file)
    of_training = ("--unfinished", folder / "unfinished", "--reports", folder / "reports")
    _gcl("train", *own, *prepared, *of_training)
    _gcl("translate", *own, "--input", folder / "prepared/testA", "--output", translated)
    _gcl("evaluate", "--params", file, *prepared, "--translated", translated, "--reports", folder / "reports")


def _gcl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "pipeline", *map(str, arguments)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    main(**vars(parser.parse_args()))
