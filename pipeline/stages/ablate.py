"""Stage, one per variant of the ablation: trains, translates and evaluates the variant, once per seed."""

import hashlib
import json
import shutil
from pathlib import Path

from lightning_fabric import Fabric

from gcl.config import Params
from gcl.contrast.methods import read_by_training
from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.images.prepared import Prepared
from gcl.locks import only_writer
from gcl.training.start_from import Start
from pipeline.console import announce
from pipeline.running.code_that_counts import code_digest
from pipeline.running.run_folder import RunFolder, seed_folder
from pipeline.stages.evaluate import run_evaluation
from pipeline.stages.train import run_training
from pipeline.stages.translate import translate
from pipeline.tracking.start import start_of
from pipeline.variant_params import seeds_of, variant_of, with_seed

FINGERPRINT = "fingerprint"
"""The name of the file, in a finished seed's folder, with the fingerprint of what the seed was made from."""


def run_ablation(
    fabric: Fabric, params: Params, name: str, prepared: Prepared, target: Path, unfinished: Path, restart: bool = False
) -> None:
    """Fills ``target``/seed_N for every seed of the variant ``name``.

    Unless ``restart``, seeds that an earlier call finished are kept, and an unfinished training is resumed. The first
    seed of the variant ``main`` is left out, because the main stages run it. Must be called like
    :func:`pipeline.stages.train.run_training`. UserError if there is no such variant.
    """
    if name not in params.ablate.variants:
        known = ", ".join(params.ablate.variants) or "none"
        raise UserError(f"there is no variant {name} in ablate.variants of params.yaml; choose from: {known}")
    variant = variant_of(params, name)
    folders = {seed: seed_folder(target, seed) for seed in seeds_of(params, name)}
    with only_writer(target):
        target.mkdir(parents=True, exist_ok=True)
        for old in set(target.glob("seed_*")) - set(folders.values()):
            shutil.rmtree(old)
        for seed, folder in folders.items():
            if restart:
                shutil.rmtree(folder, ignore_errors=True)
            _run(fabric, with_seed(variant, seed), name, prepared, folder, unfinished / f"{name}_seed_{seed}", restart)


def _run(
    fabric: Fabric, params: Params, name: str, prepared: Prepared, target: Path, unfinished: Path, restart: bool
) -> None:
    start = start_of(params, target / "model")
    made_from = _fingerprint(params, prepared.manifest.sha256, start)
    if _finished(target, made_from):
        announce(f"{name}, seed {params.train.seed}: finished before")
        return
    announce(f"{name}, seed {params.train.seed}:")
    with replaced_folder(target) as folder:
        run = RunFolder.inside(folder, name)
        run_training(fabric, params, prepared, run, unfinished, restart)
        place = run.model, prepared.split("testA"), run.translated
        translate(params.train.accelerator, *place, params.translate.checkpoint, params.translate.memory)
        run_evaluation(params, prepared, run)
        (folder / FINGERPRINT).write_text(made_from + "\n", encoding="utf-8")


def _finished(folder: Path, made_from: str) -> bool:
    file = folder / FINGERPRINT
    return file.is_file() and file.read_text(encoding="utf-8").strip() == made_from


def _fingerprint(params: Params, data: str, start: Start | None = None) -> str:
    """The SHA-256 of everything that determines a seed's results: parameters, data, the stage's code, and the model
    that the training starts from."""
    weights = None if start is None else start.lineage["generator_sha256"]
    made_from = [read_by_training(params), data, code_digest("ablate"), weights]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
