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
from gcl.training.start_from import Start, read_start
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
from pipeline.tracking.handing_over import hand_over
from pipeline.tracking.models import model_folder
from pipeline.tracking.run import TrackedRun, run_identity, tracked


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
    start = _start(params, run.model)
    saved = Unfinished(unfinished, made_from(params, manifest, fabric.world_size, start))
    # Experiments in clones may share a training: the same variant, while other settings differ.
    with only_writer(run.curves_file, run.run_file), only_writer(saved.folder, wait=saved.in_clone):
        # The folder is created first, so that a missing permission is found now and not after the training.
        with replaced_folder(run.model) as folder:
            state = saved.find(restart)
            known = SavedRun(**state.contents["run"]) if state is not None and not saved.continues else None
            trained = (0, None) if state is None else (state.step, state.contents["trainer"])
            trainer, records = begin_training(fabric, params, prepared, *trained, start)
            with tracked(run_identity(params, manifest, run.variant or MAIN), known) as mlflow_run:
                mlflow_run.log_params(read_by_training(params))
                if saved.continues:
                    mlflow_run.set_tags({"continues": state.contents["run"]["key"]})
                training = _Training(trainer, params, prepared, run, mlflow_run, saved, state)
                training.run(records)
                save_model(folder, trainer, params, manifest, training.step, training.validations, start)
                _log_results(mlflow_run, training, start, folder)
                if run.variant is None:
                    hand_over(mlflow_run, folder, params.translate.checkpoint)
                run.save(mlflow_run.saved, training.seconds)
        saved.finish()
    _announce_results(training, run.model)


class _Training:
    """One training in progress: what is written, logged and saved on its way.

    Attributes:
        step: the last step so far.
        seconds: how long it took so far, with earlier calls.
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
        self._samples = Samples(run.samples, unfinished.samples, self.step)
        self.validations = None
        # Nobody looks at the curves of a variant, so it is validated only if that decides something.
        if prepared.manifest.validates and (run.variant is None or any(_validation_decides(params).values())):
            measures = Validation(params.evaluate, prepared, params.train.validation_images, trainer.fabric.device.type)
            self.validations = Validations(measures, trainer, params.train, contents.get("validations"))
        self._logged = 0
        if unfinished.continues:
            for row in self._curves:
                self._log(row)
        elif state is not None:
            by = [] if self.validations is None else [f"{PREFIX}{self.validations.by}"]
            self._logged = max(mlflow_run.last_step(name) for name in ("discriminator", *by))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def run(self, records: Iterator[Record]) -> None:
        """Runs the remaining steps, or fewer if validations stop it or a signal does, which ends the process."""
        config, fabric = self._config, self._trainer.fabric
        images = config.batch_size * fabric.world_size
        with stopping_between_steps() as stop:
            for record in with_progress(records, self.step, config.steps, images):
                self.step = record.step
                self._report(record)
                hopeless = self.validations is not None and self.validations.hopeless
                ends = stopped(fabric, config, record.step, hopeless)
                if record.step % config.sample_every == 0 or record.step == config.steps or ends:
                    self._draw_samples()
                if ends:
                    best = self.validations.best["step"]
                    announce(f"stopped after step {self.step}: no validation since step {best} was better")
                    return
                self._save_if_due(stop.signal)
                if stop.signal:
                    announce(f"stopped after step {record.step}; the same command goes on from there")
                    sys.exit(128 + stop.signal)

    def _report(self, record: Record) -> None:
        """Writes and logs the losses of a step and the metrics of its validation, if it has any."""
        row = dict(record.losses or {})
        if self.validations is not None and self.validations.due(record.step):
            metrics = self.validations.validate(record.step)
            row |= {f"{PREFIX}{name}": value for name, value in metrics.items()}
        if row:
            self._curves.append({"step": record.step, **row})
            self._run.write_curves(self._curves)
            self._log(self._curves[-1])

    def _log(self, row: Mapping[str, float]) -> None:
        """Logs a row of the curves unless an earlier call did."""
        if row["step"] > self._logged:
            values = {name: value for name, value in row.items() if name != "step"}
            self._mlflow_run.log_metrics(values, int(row["step"]))

    def _draw_samples(self) -> None:
        grid = sample_grid(self._trainer, *self._images)
        self._samples.add(grid, self.step)
        self._mlflow_run.log_image(grid, "samples", self.step)

    def _save_if_due(self, signal: int | None) -> None:
        config = self._config
        if self.step == constant_steps(config.steps, config.constant_share) and self._run.variant is None:
            self._unfinished.save_constant(self.step, self._state())
        if self.step % config.save_every == 0 or self.step == config.steps or (signal and not self._trainer.diverged):
            self._unfinished.save(self.step, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "run": asdict(self._mlflow_run.saved),
            "curves": self._curves,
            "seconds": self.seconds,
            "validations": None if self.validations is None else self.validations.state(),
            "trainer": self._trainer.state(),
        }


def _start(params: Params, model: Path) -> Start | None:
    """The weights that ``train.start_from`` names; UserError if there are none, or if they do not fit."""
    source = params.train.start_from
    if source is None:
        return None
    with model_folder(source) as folder:
        if not folder.exists() and folder.resolve() == model.resolve():
            raise UserError(
                f"train.start_from = {source}: DVC removes this folder before it trains; name a copy of it, or the "
                "MLflow run that trained it: runs:/ID"
            )
        start = read_start(folder, source, params)
    announce(f"starting from {source}: {', '.join(start.weights)}")
    for note in start.lineage["notes"]:
        announce(f"note: {note}")
    return start


def _log_results(mlflow_run: TrackedRun, training: _Training, start: Start | None, folder: Path) -> None:
    metrics = {"training_seconds": training.seconds}
    if training.validations is not None:
        metrics |= {"validation_seconds": training.validations.seconds, "best_step": training.validations.best["step"]}
    mlflow_run.log_metrics(metrics, training.step)
    if start is not None:
        mlflow_run.set_tags({"start_from": start.lineage["model"]})
    for path in sorted(folder.glob("[!.]*")):
        mlflow_run.log_file(path, "model")


def _announce_results(training: _Training, model: Path) -> None:
    validations, seconds = training.validations, training.seconds
    if validations is None:
        announce(f"trained {training.step} steps in {seconds:.0f} s: {model}")
        return
    share = 100 * validations.seconds / seconds
    announce(f"trained {training.step} steps in {seconds:.0f} s, {share:.1f} % of them for validating: {model}")
    announce(
        f"{validations.by} on the validation images: best {shown(validations.best['metrics'][validations.by])} after "
        f"step {validations.best['step']}, last {shown(validations.last[validations.by])}, untranslated "
        f"{shown(validations.yardsticks['untranslated'][validations.by])}"
    )


def _validation_decides(params: Params) -> dict[str, bool]:
    """The keys of params.yaml that need validation images if they are set, and whether they are."""
    return {
        "translate.checkpoint": params.translate.checkpoint == "best",
        "train.stop_after": params.train.stop_after is not None,
    }


def _check_validation(params: Params, manifest: Manifest) -> None:
    """UserError if there are no validation images although something depends on them; otherwise only says so."""
    if manifest.validates:
        return
    advice = "data.validation_share (of a folder, enough for two images per domain) or data.scenes_validation above 0"
    keys = _validation_decides(params)
    for key in filter(keys.get, keys):
        raise UserError(f"{key} needs validation images, and the data set has none; prepare it with {advice}")
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
