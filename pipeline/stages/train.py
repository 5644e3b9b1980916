"""Stage 2: prepared images -> the model, its curves and sample grids."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from gcl.config import MAIN, Params
from gcl.contrast.methods import read_by_training
from gcl.errors import UserError
from gcl.files import replaced_folder
from gcl.images.manifest import Manifest
from gcl.images.prepared import Prepared
from gcl.locks import only_writer
from gcl.measures.rounding import shown
from gcl.measures.validation import Validation
from gcl.training.loop import Record
from gcl.training.start_from import Start
from gcl.training.states import State
from gcl.training.trainer import Trainer, constant_steps
from gcl.training.validations import Validations
from pipeline.console import announce
from pipeline.running.processes import begin_training, stopped
from pipeline.running.progress import with_progress
from pipeline.running.resuming import Unfinished
from pipeline.running.run_folder import PREFIX, RunFolder, SavedRun
from pipeline.running.sample_grids import Samples, sample_grid, sample_images
from pipeline.running.stopping import stopping_between_steps
from pipeline.running.trained_model import made_from, save_model
from pipeline.tracking.run import TrackedRun, run_identity, tracked
from pipeline.tracking.start import start_of


def run_training(
    fabric: Fabric, params: Params, prepared: Prepared, run: RunFolder, unfinished: Path, restart: bool = False
) -> None:
    """Trains on ``prepared`` as an MLflow run, and writes the model, the curves and the sample grids of ``run``.

    Must be called in the first process of ``fabric``, inside :func:`pipeline.running.processes.on_all_devices`. Resumes
    what an interrupted call left in the folder ``unfinished``, unless ``restart``.
    """
    manifest = prepared.manifest
    _check_crop(manifest, params.train.crop_size)
    _check_validation(params, manifest)
    start = start_of(params, run.model)
    if start is not None:
        _announce_start(start)
    made = made_from(params, manifest, fabric.world_size, start)
    saved = Unfinished(unfinished, made, extensible=run.variant is None)
    # Experiments in clones may share a training: the same variant, while other settings differ.
    with only_writer(run.curves_file, run.run_file), only_writer(saved.folder, wait=saved.in_clone):
        # The folder is created first, so that a missing permission is found now and not after the training.
        with replaced_folder(run.model) as folder:
            state = saved.find(restart)
            known = SavedRun(**state.contents["run"]) if state is not None and not saved.continues else None
            trained = (0, None) if state is None else (state.step, state.contents["trainer"])
            trainer, records = begin_training(fabric, params, prepared, *trained, start)
            with tracked(run_identity(params, manifest, run.variant or MAIN), known) as mlflow_run:
                # A resumed run has them, and MLflow refuses others, such as another translate.checkpoint.
                if known is None:
                    mlflow_run.log_params(read_by_training(params))
                    mlflow_run.set_tags(_lineage(start, state))
                training = _Training(trainer, params, prepared, run, mlflow_run, saved, state)
                training.run(records)
                save_model(folder, trainer, params, manifest, training.step, training.validations, start)
                training.log_results(folder)
                run.save(mlflow_run.saved, training.seconds)
        saved.finish(training.step)
    training.announce_results()


class _Training:
    """One training in progress: what is written, logged and saved on its way.

    Attributes:
        step: the last step so far.
        validations: its validations; None if the data set has no validation images.
    """

    def __init__(
        self,
        trainer: Trainer,
        params: Params,
        prepared: Prepared,
        run: RunFolder,
        mlflow_run: TrackedRun,
        unfinished: Unfinished,
        state: State | None,
    ):
        self._trainer, self._config, self._run = trainer, params.train, run
        self._mlflow_run, self._unfinished = mlflow_run, unfinished
        self.step, contents = (0, {}) if state is None else (state.step, state.contents)
        self._began = time.monotonic() - contents.get("seconds", 0.0)
        self._curves: list[dict[str, float]] = contents.get("curves", [])
        self._images = sample_images(prepared, params.train, trainer.fabric.device)
        self._single_image = prepared.manifest.single_image
        self._samples = Samples(run.samples, unfinished.samples, self.step)
        self.validations = None
        if prepared.manifest.validates:
            measures = Validation(params.evaluate, prepared, params.train.validation_images, trainer.fabric.device.type)
            self.validations = Validations(measures, trainer, params.train, contents.get("validations"))
        self._logged = 0
        if unfinished.continues:
            for row in self._curves:
                self._log(row)
        elif state is not None:
            by = [] if self.validations is None else [f"{PREFIX}{self.validations.by}"]
            self._logged = max(mlflow_run.last_step(name) for name in ("discriminator", *by))
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the steps took so far, with earlier calls, but without validating."""
        validating = 0.0 if self.validations is None else self.validations.seconds
        return self._elapsed() - validating

    def run(self, records: Iterator[Record]) -> None:
        """Runs the remaining steps, or fewer if validations stop it or a signal does, which ends the process."""
        config, fabric = self._config, self._trainer.fabric
        images = config.batch_size * fabric.world_size
        with stopping_between_steps() as stop:
            for record in with_progress(records, self.step, config.steps, images):
                self.step = record.step
                self._write(
                    record.losses if self.step % config.log_every == 0 else None,
                    validate=self.step % config.validate_every == 0,
                    draw=self.step % config.sample_every == 0,
                )
                if self.step == constant_steps(config.steps, config.constant_share):
                    # Before anything that is due only because the training ends here.
                    self._unfinished.save_constant(self.step, self._state())
                stops = stopped(fabric, config, self.step, self.validations is not None and self.validations.hopeless)
                if stops or self.step == config.steps:
                    self._write_the_end(record.losses)
                if stops:
                    best = self.validations.best["step"]
                    announce(f"stopped after step {self.step}: no validation since step {best} was better")
                    break
                self._save_if_due(stop.signal)
                if stop.signal:
                    announce(f"stopped after step {self.step}; the same command goes on from there")
                    sys.exit(128 + stop.signal)
        self._ended = self._elapsed()

    def _write_the_end(self, losses: Mapping[str, float] | None) -> None:
        """What is due after the last step, unless it was due anyway."""
        config = self._config
        self._write(
            losses if self.step % config.log_every else None,
            validate=self.step % config.validate_every != 0,
            draw=self.step % config.sample_every != 0,
        )

    def _write(self, losses: Mapping[str, float] | None, validate: bool, draw: bool) -> None:
        """Writes and logs what is due after the step."""
        values = dict(losses or {})
        if validate and self.validations is not None:
            metrics = self.validations.validate(self.step)
            values |= {f"{PREFIX}{name}": value for name, value in metrics.items()}
        if values:
            if not self._curves or self._curves[-1]["step"] != self.step:
                self._curves.append({"step": self.step})
            self._curves[-1] |= values
            self._run.write_curves(self._curves)
            self._log({"step": self.step, **values})
        if draw:
            self._draw_samples()

    def _log(self, row: Mapping[str, float]) -> None:
        """Logs a row of the curves unless an earlier call did."""
        if row["step"] > self._logged:
            values = {name: value for name, value in row.items() if name != "step"}
            self._mlflow_run.log_metrics(values, int(row["step"]))

    def _draw_samples(self) -> None:
        grid = sample_grid(self._trainer, *self._images, whole=self._single_image)
        self._samples.add(grid, self.step)
        self._mlflow_run.log_image(grid, "samples", self.step)

    def _save_if_due(self, signal: int | None) -> None:
        config = self._config
        if self.step % config.save_every == 0 or self.step == config.steps or (signal and not self._trainer.diverged):
            self._unfinished.save(self.step, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "run": asdict(self._mlflow_run.saved),
            "curves": self._curves,
            "seconds": self._elapsed(),
            "validations": None if self.validations is None else self.validations.state(),
            "trainer": self._trainer.state(),
        }

    def _elapsed(self) -> float:
        return time.monotonic() - self._began if self._ended is None else self._ended

    def log_results(self, folder: Path) -> None:
        """Logs what is known after the last step, and the model in ``folder``."""
        metrics = {"training_seconds": self.seconds}
        if self.validations is not None:
            metrics |= {"validation_seconds": self.validations.seconds, "best_step": self.validations.best["step"]}
        self._mlflow_run.log_metrics(metrics, self.step)
        for path in sorted(folder.glob("[!.]*")):
            self._mlflow_run.log_file(path, "model")

    def announce_results(self) -> None:
        """Prints how long it took and, if it was validated, which checkpoint is the best."""
        done = f"trained {self.step} steps in {self._elapsed():.0f} s"
        if self.validations is None:
            announce(f"{done}: {self._run.model}")
            return
        by, best, last = self.validations.by, self.validations.best, self.validations.last
        share = 100 * self.validations.seconds / self._elapsed()
        announce(f"{done}, {share:.1f} % of them for validating: {self._run.model}")
        announce(
            f"{by} on the validation images: best {shown(best['metrics'][by])} after step {best['step']}, last "
            f"{shown(last[by])}, untranslated {shown(self.validations.yardsticks['untranslated'][by])}"
        )


def _announce_start(start: Start) -> None:
    announce(f"starting from {start.source}: {', '.join(start.weights)}")
    for note in start.lineage["notes"]:
        announce(f"note: {note}")


def _lineage(start: Start | None, state: State | None) -> dict[str, str]:
    """Tags with the model that a new training starts from, and the run of the finished training that it goes on."""
    tags = {} if state is None else {"continues": state.contents["run"]["key"]}
    if start is not None:
        tags |= {"start_from": start.lineage["model"], "start_from.sha256": start.lineage["generator_sha256"]}
    return tags


def _check_validation(params: Params, manifest: Manifest) -> None:
    """UserError if there are no validation images although something depends on them; otherwise only says so."""
    if manifest.validates and (params.train.best_by != "lpips_to_truth" or manifest.validation_paired):
        return
    if manifest.validates:
        raise UserError(
            "train.best_by = lpips_to_truth: the true translations of the validation images are not known; choose kid"
        )
    advice = "data.validation_share (of a folder, enough for two images per domain) or data.scenes_validation above 0"
    keys = {"translate.checkpoint": params.translate.checkpoint == "best", "train.stop_after": params.train.stop_after}
    for key in filter(keys.get, keys):
        if manifest.single_image:
            raise UserError(f"{key} needs validation images, and a single picture of each domain has none; unset it")
        raise UserError(f"{key} needs validation images, and the data set has none; prepare it with {advice}")
    if not manifest.single_image:
        announce(f"note: no validation, because the data set has no images for it; prepare it with {advice}")


def _check_crop(manifest: Manifest, crop_size: int) -> None:
    """UserError if an image is smaller than the crop. Only load_size enlarges images, so this must be a mistake."""
    for split in ("trainA", "trainB"):
        for entry in manifest.splits[split]:
            if min(entry.width, entry.height) < crop_size:
                raise UserError(
                    f"{split}/{entry.name}: {entry.width}x{entry.height} pixels, smaller than train.crop_size "
                    f"{crop_size}; use larger images or a smaller crop"
                )
