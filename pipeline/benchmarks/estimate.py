"""Estimates how long an experiment takes on this machine, from the times of a few real steps, images and scenes."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch

from gcl.config import MAIN, Params
from gcl.images.finding import find_images
from gcl.images.manifest import SPLITS, VALIDATION
from gcl.images.prepared import Prepared
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_folder
from gcl.sources.drawn.scenes import draw_scene
from gcl.sources.holding_back import held_back
from gcl.training.from_params import build_trainer, training_pairs
from gcl.training.loop import train
from pipeline.benchmarks.evaluation import evaluation_time
from pipeline.benchmarks.settings import drawn_data, offline, on_one_device
from pipeline.benchmarks.startup import import_seconds
from pipeline.benchmarks.timing import interleaved, wait_for
from pipeline.console import announce
from pipeline.running.code_that_counts import stages
from pipeline.running.devices import fabric_on_one_device, make_fabric
from pipeline.variant_params import seeds_of, variant_of

IMAGES = 4
"""The number of images drawn per domain."""

BUDGET = 2.0
"""How many seconds of steps are measured per variant."""

WARM_UP = 2
"""The number of steps that are not measured."""

UNKNOWN_COUNTS = {"trainA": 1000, "trainB": 1000, "testA": 100, "testB": 100}
"""The numbers of images assumed per split if they are not known yet."""


@dataclass(frozen=True)
class Costs:
    """The seconds that it takes to start a stage, to prepare an image, to train a step of each variant, to translate an
    image, and to evaluate all of them.

    None stands for what cannot be measured beforehand: importing images, translating images of unknown size, and
    evaluating with downloaded features.
    """

    start: float
    prepared_image: float | None
    steps: Mapping[str, float]
    translated_image: float | None
    evaluation: float | None


@dataclass(frozen=True)
class StageTime:
    """The estimate for one stage, or for one variant of the ablation; ``seconds`` is None if unknown."""

    stage: str
    seconds: float | None
    sum: str
    """What was added up, in words."""


def estimate(params: Params, prepared: Prepared) -> list[StageTime]:
    """Estimates the stages of `dvc repro` with ``params``; images are counted in ``prepared``, if it exists."""
    counts = image_counts(params, prepared)
    if counts is UNKNOWN_COUNTS:
        announce(f"there are no images to count yet; assumed are {counts['trainA']} + {counts['testA']} per domain")
    with offline(params) as local, drawn_data(params, IMAGES, IMAGES) as drawn:
        variants = {MAIN: local} | {name: variant_of(local, name) for name in params.ablate.variants if name != MAIN}
        costs = Costs(
            start=import_seconds("ablate"),
            prepared_image=_drawing_seconds(params) if params.data.source == "scenes" else None,
            steps={name: step_seconds(variant, drawn) for name, variant in variants.items()},
            translated_image=_translation_seconds(params, drawn) if params.data.image_size else None,
            evaluation=_evaluation_seconds(params, counts) if params.evaluate.features != "inception" else None,
        )
    return stage_times(params, costs, counts)


def image_counts(params: Params, prepared: Prepared) -> dict[str, int]:
    """The numbers of images by split: of scenes to draw, of those in the folder, of prepared images, or a guess."""
    data = params.data
    if data.source == "scenes":
        numbers = [data.scenes_train] * 2 + [data.scenes_test] * 2 + [data.scenes_validation] * 2
        return dict(zip((*SPLITS, *VALIDATION), numbers, strict=True))
    if data.source == "folder" and data.path.is_dir():
        counts = {split: _count(data.path / split) for split in SPLITS}
        if list(counts.values()) == [1, 1, 0, 0]:
            return dict.fromkeys(SPLITS, 1)  # the single-image case
        for train, test in (("trainA", "testA"), ("trainB", "testB")):
            if not counts[test] and counts[train]:
                counts[test] = held_back(counts[train], data.test_share)
                counts[train] -= counts[test]
        return counts
    if prepared.exists and prepared.manifest.source == data.source:
        return prepared.manifest.counts()
    return UNKNOWN_COUNTS


def stage_times(params: Params, costs: Costs, counts: Mapping[str, int]) -> list[StageTime]:
    """One row per stage in dvc.yaml, and for the ablation one per variant; ``counts`` are the images by split.

    A stage about which nothing is known here is assumed to take only its start.
    """
    images, test_images = sum(counts.values()), counts["testA"]
    known = {
        "prepare": [_row("prepare", costs, costs.prepared_image, f"{images} images", images)],
        "train": [_row("train", costs, costs.steps[MAIN], _steps(params, costs, MAIN), params.train.steps)],
        "translate": [_row("translate", costs, costs.translated_image, f"{test_images} images", test_images)],
        "evaluate": [_row("evaluate", costs, costs.evaluation, f"{test_images} images")],
        "ablate": [_variant_row(params, costs, name, test_images) for name in params.ablate.variants],
    }
    rows = [row for stage in stages() for row in known.get(stage, [StageTime(stage, costs.start, "start only")])]
    return [row for row in rows if row is not None]


def without_ablation(rows: Sequence[StageTime]) -> Sequence[StageTime]:
    """The rows of the main run: what `dvc repro report` takes."""
    return rows[: [row.stage for row in rows].index("report") + 1]


def total(rows: Sequence[StageTime]) -> float:
    """The total seconds of all stages whose time is known."""
    return sum(row.seconds for row in rows if row.seconds is not None)


def _variant_row(params: Params, costs: Costs, name: str, test_images: int) -> StageTime | None:
    """The row of all seeds that the stage of a variant runs; None if there are none."""
    seeds = len(seeds_of(params, name))
    if not seeds:
        return None
    translating = test_images * (costs.translated_image or 0)
    work = params.train.steps * costs.steps[name] + translating + (costs.evaluation or 0)
    how = f"{seeds} x ({_steps(params, costs, name)}, translate, evaluate)"
    return _row(f"ablate@{name}", costs, work, how, seeds)


def _row(stage: str, costs: Costs, seconds: float | None, what: str, times: int = 1) -> StageTime:
    if seconds is None:
        return StageTime(stage, None, f"{what}: cannot be measured beforehand")
    return StageTime(stage, costs.start + times * seconds, f"start, {what}")


def _steps(params: Params, costs: Costs, variant: str) -> str:
    return f"{params.train.steps} steps of {costs.steps[variant]:.3g} s"


def step_seconds(params: Params, prepared: Prepared) -> float:
    """The mean time of real steps, including reading the images."""
    config = params.train
    with torch.random.fork_rng():
        trainer = build_trainer(params, make_fabric(on_one_device(config)))
        device, ends = trainer.fabric.device, [time.perf_counter()]
        for _ in train(trainer, training_pairs(config, prepared, processes=1), config):
            wait_for(device)
            ends.append(time.perf_counter())
            if len(ends) > WARM_UP + 1 and ends[-1] - ends[0] > BUDGET:
                break
    durations = [end - start for start, end in pairwise(ends)]
    return mean(durations[WARM_UP:] or durations)


def _translation_seconds(params: Params, prepared: Prepared) -> float:
    fabric = fabric_on_one_device(params.train.accelerator, params.train.precision)
    generator = Generator(**params.generator.model_dump())
    with TemporaryDirectory() as folder:
        place = prepared.split("testA"), Path(folder), fabric.device, fabric.autocast
        call = {"images": lambda: list(translate_folder(generator, *place))}
        return interleaved(call, fabric.device, budget=1.0)["images"].seconds / IMAGES


def _drawing_seconds(params: Params) -> float:
    """The time per scene if all cores draw."""
    scenes = count()
    call = {"scene": lambda: draw_scene(params.data.seed, next(scenes), "A", params.data.image_size)}
    return interleaved(call, torch.device("cpu"), budget=0)["scene"].seconds / os.cpu_count()


def _evaluation_seconds(params: Params, counts: Mapping[str, int]) -> float:
    """Extrapolated along a straight line through the times for a few images and for three times as many."""
    ratio = max(1, round(counts["trainB"] / max(counts["testA"], 1)))
    few, more = (evaluation_time(params, ratio * test, test, 0, least=1).seconds for test in (IMAGES, 3 * IMAGES))
    slope = max(more - few, 0) / (2 * IMAGES)
    return few + slope * (counts["testA"] - IMAGES)


def _count(folder: Path) -> int:
    return len(find_images(folder)[0]) if folder.is_dir() else 0
