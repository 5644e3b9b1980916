"""The commands of the stages: each reads params.yaml, determines the paths and calls its stage.

Stage modules are imported inside their commands, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcl.locks import only_writer
from pipeline.commands.folders import (
    ABLATIONS,
    MODEL,
    PARAMS,
    PREPARED,
    REPORTS,
    RUN,
    TRANSLATED,
    UNFINISHED,
    VARIANTS,
    evaluation_run_file,
    other_translated,
    training_run_file,
)
from pipeline.commands.options import (
    ModelFolder,
    ParamsFile,
    PreparedFolder,
    ReportsFolder,
    Restart,
    RunFile,
    TranslatedFolder,
    UnfinishedFolder,
    params_in,
)
from pipeline.running.stopping import stop_cleanly

if TYPE_CHECKING:
    from lightning_fabric import Fabric

app = typer.Typer()


class CheckpointName(StrEnum):
    """A checkpoint of a model."""

    last = "last"
    best = "best"


@app.command()
def prepare(params_file: ParamsFile = PARAMS, target: Annotated[Path, typer.Option(help="Folder to fill.")] = PREPARED):
    """Draw or import the data set: images are decoded once, to upright 8-bit RGB PNGs, with a manifest."""
    params = params_in(params_file)
    from pipeline.stages.prepare import prepare

    stop_cleanly()
    prepare(params.data, target)


@app.command()
def train(
    params_file: ParamsFile = PARAMS,
    prepared: PreparedFolder = PREPARED,
    model: ModelFolder = MODEL,
    reports: ReportsFolder = REPORTS,
    run_file: RunFile = None,
    unfinished: UnfinishedFolder = UNFINISHED,
    restart: Restart = False,
):
    """Train the translation model, with curves and sample grids on the way. Resumes where a killed call stopped."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.running.processes import on_all_devices
    from pipeline.running.run_folder import RunFolder
    from pipeline.stages.train import run_training

    stop_cleanly()
    data = Prepared(prepared)
    run = RunFolder(model, TRANSLATED, reports, run_file or training_run_file(reports, model))

    def work(fabric: "Fabric") -> None:
        run_training(fabric, params, data, run, unfinished / "train", restart)

    on_all_devices(params.train, data, work)


@app.command()
def translate(
    params_file: ParamsFile = PARAMS,
    model: ModelFolder = MODEL,
    source: Annotated[Path, typer.Option("--input", help="An image, or a folder of images, nested or not.")] = PREPARED
    / "testA",
    target: Annotated[
        Path,
        typer.Option("--output", help="Folder for PNGs of the same names or, for a single image, a .png or .tif file."),
    ] = TRANSLATED,
    checkpoint: Annotated[
        CheckpointName | None,
        typer.Option(
            help="Which of the model's checkpoints.", show_default="last; of data/model, translate.checkpoint"
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GB that translating one image may take; larger ones go in tiles.",
            show_default="translate.memory",
        ),
    ] = None,
):
    """Translate images of any size in the model's precision; without a params.yaml, on the best device available.

    The stage also translates its test images by the other checkpoint.
    """
    in_project = params_file.is_file() or params_file != PARAMS
    params = params_in(params_file) if in_project else None
    accelerator = params.train.accelerator if params else "auto"
    of_project = params.translate.checkpoint if params and model == MODEL else "last"
    chosen = checkpoint.value if checkpoint else of_project
    allowed = params.translate.memory if params and memory is None else memory
    other = other_translated((model, MODEL), (source, PREPARED / "testA"), (target, TRANSLATED))
    from pipeline.stages.translate import translate, translate_other

    stop_cleanly()
    translate(accelerator, model, source, target, chosen, allowed)
    if other is not None:
        translate_other(accelerator, model, source, other, chosen, allowed)


@app.command()
def evaluate(
    params_file: ParamsFile = PARAMS,
    prepared: PreparedFolder = PREPARED,
    translated: TranslatedFolder = TRANSLATED,
    reports: ReportsFolder = REPORTS,
    run_file: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the id of the MLflow run to log to.",
            show_default="data/run.json; for other folders nothing is logged",
        ),
    ] = None,
    run_name: Annotated[str | None, typer.Option(help="Log to a new MLflow run of this name instead.")] = None,
):
    """Measure FID, KID, LPIPS, structure and, if the truth is known, PSNR, SSIM and IoU, each beside its yardsticks."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.running.run_folder import RunFolder
    from pipeline.stages.evaluate import run_evaluation

    stop_cleanly()
    log_to = evaluation_run_file(run_file, run_name, prepared, translated, reports)
    with only_writer(reports / "evaluation.json"):
        other = other_translated((prepared, PREPARED), (translated, TRANSLATED), (reports, REPORTS))
        run = RunFolder(MODEL, translated, reports, log_to, other=other)
        run_evaluation(params, Prepared(prepared), run, run_name)


@app.command()
def report(
    params_file: ParamsFile = PARAMS,
    prepared: PreparedFolder = PREPARED,
    model: ModelFolder = MODEL,
    translated: TranslatedFolder = TRANSLATED,
    reports: ReportsFolder = REPORTS,
):
    """Write reports/report.md and its figures from the results of the other stages."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.running.run_folder import RunFolder
    from pipeline.stages.report import write_report

    stop_cleanly()
    with only_writer(reports / "report.md"):
        write_report(params, Prepared(prepared), RunFolder(model, translated, reports, RUN))


@app.command()
def variants(
    params_file: ParamsFile = PARAMS,
    target: Annotated[Path, typer.Option(help="Folder to fill, with one file per variant.")] = VARIANTS,
):
    """Write down what each variant of the ablation reads, so that DVC reruns only those that changed."""
    from pipeline.stages.variants import write_variants

    stop_cleanly()
    write_variants(params_in(params_file), target)


@app.command()
def ablate(
    variant: Annotated[str, typer.Argument(help="A name in ablate.variants of params.yaml.")],
    params_file: ParamsFile = PARAMS,
    prepared: PreparedFolder = PREPARED,
    ablations: Annotated[Path, typer.Option(help="Folder to fill: VARIANT/seed_N.")] = ABLATIONS,
    unfinished: UnfinishedFolder = UNFINISHED,
    restart: Restart = False,
):
    """Train, translate and evaluate one variant, once per seed; seeds that a killed call finished are kept."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.running.processes import on_all_devices
    from pipeline.stages.ablate import run_ablation

    stop_cleanly()
    data = Prepared(prepared)

    def work(fabric: "Fabric") -> None:
        run_ablation(fabric, params, variant, data, ablations / variant, unfinished, restart)

    on_all_devices(params.train, data, work)


@app.command()
def compare(
    params_file: ParamsFile = PARAMS,
    prepared: PreparedFolder = PREPARED,
    translated: TranslatedFolder = TRANSLATED,
    run_file: RunFile = None,
    ablations: Annotated[Path, typer.Option(help="Folder of the variants: what `gcl ablate` wrote.")] = ABLATIONS,
    reports: ReportsFolder = REPORTS,
):
    """Write reports/ablation.md: the main run beside its variants, with the uncertainty from seeds and test images."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.running.run_folder import RunFolder
    from pipeline.stages.compare import compare

    stop_cleanly()
    main = RunFolder(MODEL, translated, reports, run_file or training_run_file(reports))
    with only_writer(reports / "ablation.md"):
        compare(params, Prepared(prepared), main, ablations)
