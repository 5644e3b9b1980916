"""Stage 1: the chosen source -> data/prepared/{trainA,trainB,testA,testB,validationA,validationB} and a manifest."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from gcl.config import DataConfig
from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.images.decoding import BadImageError, save_png
from gcl.images.manifest import VALIDATION, Entry, Manifest, describe, uneven_sizes
from gcl.images.prepared import Prepared
from gcl.parallel import in_parallel
from gcl.sources.archives import unpack
from gcl.sources.downloads import fetch
from gcl.sources.drawn.scenes import draw_mask, draw_scene
from gcl.sources.folder import import_folder
from gcl.sources.public_datasets import DATASETS
from pipeline.console import announce, level_bar, progress_bar
from pipeline.params import repository_root

DOWNLOADS = Path("data/downloads")
"""The folder of downloaded archives in the original repository, which the clones of DVC experiments share."""

FIRST_SCENE = {"trainA": 0, "trainB": 1_000_000, **dict.fromkeys(("testA", "testB"), 2_000_000)}
FIRST_SCENE |= dict.fromkeys(VALIDATION, 3_000_000)
"""The number of each split's first scene: the training splits share no scene, those of a test or validation all."""


TURNED = {"A": "B", "B": "A"}


def prepare(config: DataConfig, target: Path) -> Manifest:
    """Fills ``target`` with the data set and returns its manifest; after a failure ``target`` is unchanged.

    UserError if the data cannot be used, or if the disk is full or not writable.
    """
    try:
        with replaced_folder(target) as folder:
            fill = _draw if config.source == "scenes" else _import
            manifest = fill(config, Prepared(folder))
            if config.direction == "BtoA":
                manifest = _turned(manifest, Prepared(folder))
            manifest.save(folder)
    except OSError as error:
        raise UserError(f"{target} could not be filled, and is as it was before: {error}") from error
    counts = ", ".join(f"{split} {count}" for split, count in manifest.counts().items())
    announce(f"prepared {counts} in {target} (data {manifest.sha256[:12]})")
    for note in manifest.notes:
        announce(f"note: {note}")
    for warning in manifest.warnings:
        announce(f"WARNING: {warning}")
    return manifest


def _draw(config: DataConfig, prepared: Prepared) -> Manifest:
    counts = {"trainA": config.scenes_train, "trainB": config.scenes_train}
    counts |= {"testA": config.scenes_test, "testB": config.scenes_test}
    if config.scenes_validation:
        counts |= dict.fromkeys(VALIDATION, config.scenes_validation)
    for folder in (*map(prepared.split, counts), prepared.mask_folder):
        folder.mkdir()
    jobs = [(split, index) for split, number in counts.items() for index in range(number)]
    drawn = in_parallel(partial(_draw_one, config, prepared), jobs)
    entries = list(progress_bar(drawn, "drawing scenes", len(jobs)))
    splits = {split: [entry for (of, _), entry in zip(jobs, entries, strict=True) if of == split] for split in counts}
    return Manifest("scenes", paired=True, masks=True, splits=splits)


def _draw_one(config: DataConfig, prepared: Prepared, job: tuple[str, int]) -> Entry:
    split, index = job
    scene, name = FIRST_SCENE[split] + index, f"scene_{index:05d}.png"
    image = Image.fromarray(draw_scene(config.seed, scene, split[-1], config.image_size))
    save_png(image, prepared.split(split) / name)
    if split == "testA":
        save_png(draw_mask(config.seed, scene, config.image_size), prepared.mask_folder / name)
    return describe(name, image)


def _import(config: DataConfig, prepared: Prepared) -> Manifest:
    try:
        if config.source != "folder":
            mirror, downloads = _anchored(config.mirror), repository_root() / DOWNLOADS
            archive = fetch(DATASETS[config.source], mirror, downloads, announce, level_bar)
        elif config.path.suffix.lower() == ".zip" and config.path.is_file():
            archive = config.path
        else:
            return import_folder(config, config.path, prepared, progress_bar)
        return _import_archive(config, archive, prepared)
    except BadImageError as error:
        raise UserError(f"{error}\n(data.on_bad_image: skip leaves such files out and lists them)") from error


def _import_archive(config: DataConfig, archive: Path, prepared: Prepared) -> Manifest:
    """Imports the data in ``archive``, at its top or in one of its folders.

    Error messages name the archive, because the folder it is unpacked into is removed.
    """
    unpacked = prepared.folder / "unpacked"
    unpack(archive, unpacked, progress_bar)
    inside = [unpacked, *sorted(path for path in unpacked.iterdir() if path.is_dir())]
    source = next((path for path in inside if (path / "trainA").is_dir()), unpacked)
    try:
        manifest = import_folder(config, source, prepared, progress_bar)
    except BadImageError as error:
        raise BadImageError(archive / error.path.relative_to(unpacked), error.reason) from error
    except UserError as error:
        raise UserError(str(error).replace(str(unpacked), str(archive))) from error
    shutil.rmtree(unpacked)
    return manifest


def _turned(manifest: Manifest, prepared: Prepared) -> Manifest:
    """Exchanges A and B, in the folders too. The masks are left out: the segmenter knows only what is drawn as B."""
    for purpose in sorted({split[:-1] for split in manifest.splits}):
        a, b, aside = (prepared.split(f"{purpose}{domain}") for domain in ("A", "B", "_aside"))
        for old, new in ((a, aside), (b, a), (aside, b)):
            old.rename(new)
    shutil.rmtree(prepared.mask_folder, ignore_errors=True)
    note = "data.direction is BtoA: A here is what the source calls B; other notes and warnings use the source's names"
    splits = {f"{split[:-1]}{TURNED[split[-1]]}": entries for split, entries in manifest.splits.items()}
    # Which images FID and KID compare depends on the direction, and this warning with it.
    before = uneven_sizes(manifest.splits)
    return replace(
        manifest,
        splits=splits,
        warnings=[warning for warning in manifest.warnings if warning not in before] + uneven_sizes(splits),
        masks=False,
        direction="BtoA",
        notes=[note, *manifest.notes],
    )


def _anchored(mirror: str | None) -> str | None:
    """``mirror``, if it is a path, in the original repository, even inside the clone of a DVC experiment.

    An address is unchanged.
    """
    return mirror if mirror is None or "://" in mirror else str(repository_root() / mirror)
