"""Stage 1: the chosen source -> data/prepared/{trainA,trainB,testA,testB} and a manifest."""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from gcl.config import DataConfig
from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.images import SUFFIXES, check_stems, list_images, read_rgb, save_png
from gcl.manifest import SPLITS, Entry, Manifest, describe
from gcl.scenes import draw_mask, draw_scene
from pipeline.console import announce, progress_bar

EXPECTED_TREE = """expected:
  {path}/
    trainA/   images of the domain to translate from
    trainB/   images of the domain to translate to
    testA/    optional; without it a share of trainA is held back
    testB/    optional; without it a share of trainB is held back"""

FEWEST_TO_TEST = 2
"""Images of a domain; metrics of sets need a covariance."""

SMALLEST_SIDE = 32
"""Pixels; below that nothing would be left after the networks' downsampling."""

FIRST_SCENE = {"trainA": 0, "trainB": 1_000_000, "testA": 2_000_000, "testB": 2_000_000}
"""Where each split's scenes begin: the training splits share no scene, the test splits share all."""


def prepare(config: DataConfig, target: Path) -> Manifest:
    """Fills ``target`` anew; a failure leaves whatever was there as it was. UserError for what cannot be used."""
    with replaced_folder(target) as folder:
        manifest = _draw(config, folder) if config.source == "scenes" else _import(config, folder)
        manifest.save(folder)
    counts = ", ".join(f"{split} {count}" for split, count in manifest.counts().items())
    announce(f"prepared {counts} in {target} (data {manifest.sha256[:12]})")
    for note in manifest.notes:
        announce(f"note: {note}")
    return manifest


# --- the embedded scenes -------------------------------------------------------------------------------------------


def _draw(config: DataConfig, folder: Path) -> Manifest:
    counts = {"trainA": config.scenes_train, "trainB": config.scenes_train}
    counts |= {"testA": config.scenes_test, "testB": config.scenes_test}
    for name in (*SPLITS, "masks"):
        (folder / name).mkdir()
    jobs = [(split, index) for split in SPLITS for index in range(counts[split])]
    # Spawned rather than forked: a fork of a process whose threads hold locks may hang.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        drawn = pool.map(partial(_draw_one, config, folder), jobs, chunksize=10)
        entries = list(progress_bar(drawn, "drawing scenes", len(jobs)))
    splits = {split: [entry for (of, _), entry in zip(jobs, entries, strict=True) if of == split] for split in SPLITS}
    return Manifest("scenes", paired=True, masks=True, splits=splits)


def _draw_one(config: DataConfig, folder: Path, job: tuple[str, int]) -> Entry:
    split, index = job
    scene, name = FIRST_SCENE[split] + index, f"scene_{index:05d}.png"
    image = Image.fromarray(draw_scene(config.seed, scene, split[-1], config.size))
    save_png(image, folder / split / name)
    if split == "testA":
        save_png(draw_mask(config.seed, scene, config.size), folder / "masks" / name)
    return describe(name, image)


# --- folders of the user's own -------------------------------------------------------------------------------------


def _import(config: DataConfig, folder: Path) -> Manifest:
    source, notes = config.path, []
    missing = [split for split in ("trainA", "trainB") if not (source / split).is_dir()]
    if missing:
        found = f"{' and '.join(missing)} missing" if source.is_dir() else "no such folder"
        raise UserError(f"data.path = {source}: {found}\n{EXPECTED_TREE.format(path=source)}")
    files = {}
    for domain in "AB":
        train, test = f"train{domain}", f"test{domain}"
        files[train] = _images_of(source / train, notes)
        if (source / test).is_dir():
            files[test] = _images_of(source / test, notes, at_least=FEWEST_TO_TEST)
        else:
            files[train], files[test] = _hold_back(files[train], config.test_share, config.seed)
            notes.append(f"no {test}: held back {len(files[test])} of {train} (data.seed {config.seed})")
    splits = {split: list(_store(files[split], folder / split, config.size)) for split in SPLITS}
    return Manifest("folder", paired=False, masks=False, splits=splits, notes=notes)


def _images_of(folder: Path, notes: list[str], at_least: int = 1) -> list[Path]:
    """The images of one split; UserError if there are too few or two share a stem."""
    images = list_images(folder)
    if len(images) < at_least:
        found = f"{len(images)} images" if images else "no images"
        raise UserError(
            f"{folder}: {found} here, at least {at_least} needed; files ending in {' '.join(SUFFIXES)} are read"
        )
    check_stems(images)
    others = sum(1 for path in folder.iterdir() if not path.name.startswith(".")) - len(images)
    if others:
        notes.append(f"{folder.name}: {others} other entries passed over")
    return images


def _hold_back(images: list[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Splits ``images`` at random into (train, test), at least FEWEST_TO_TEST to test and one to train."""
    if len(images) <= FEWEST_TO_TEST:
        raise UserError(
            f"{images[0].parent}: {len(images)} images are too few to hold {FEWEST_TO_TEST} back for tests; "
            "add images or a test folder"
        )
    count = min(max(round(len(images) * share), FEWEST_TO_TEST), len(images) - 1)
    held = set(np.random.default_rng(seed).permutation(len(images))[:count].tolist())
    train = [path for index, path in enumerate(images) if index not in held]
    return train, [images[index] for index in sorted(held)]


def _store(images: list[Path], folder: Path, size: int | None) -> Iterable[Entry]:
    """Decodes, shrinks and saves ``images`` as PNG."""
    folder.mkdir()
    for path in progress_bar(images, folder.name, len(images)):
        image = read_rgb(path)
        if min(image.size) < SMALLEST_SIDE:
            raise UserError(f"{path}: {image.width}x{image.height} pixels; at least {SMALLEST_SIDE} a side are needed")
        if size is not None:
            image = _shrink(image, size, path)
        name = f"{path.stem}.png"
        save_png(image, folder / name)
        yield describe(name, image)


def _shrink(image: Image.Image, size: int, path: Path) -> Image.Image:
    """Scales the shorter side down to ``size``; never enlarges."""
    shorter = min(image.size)
    if shorter < size:
        raise UserError(
            f"{path}: {image.width}x{image.height} pixels, smaller than data.size {size}; "
            "use larger images or a smaller data.size"
        )
    scaled = [max(size, round(side * size / shorter)) for side in image.size]
    return image if shorter == size else image.resize(scaled, Image.Resampling.LANCZOS)
