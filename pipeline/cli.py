"""The command line: one command a stage, each thin: read params.yaml, call the stage, report mistakes plainly.

Stage modules are imported inside their commands, since torch and MLflow take seconds that ``--help`` must not pay.
"""

import os
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gcl.errors import UserError
from gcl.locks import only_writer
from pipeline.running.allocator import keep_freed_memory
from pipeline.running.folders import MODEL, PREPARED, REPORTS, TRANSLATED, evaluation_run_file, training_run_file
from pipeline.running.stopping import stop_cleanly

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gcl.config import Params

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Unpaired image-to-image translation with patch-wise graph contrastive learning.\n\n"
    "One command a stage, in this order; `dvc repro` runs all that are out of date.",
)

ParamsFile = Annotated[Path, typer.Option("--params", help="The experiment's numbers.")]
Prepared = Annotated[Path, typer.Option(help="Prepared data set: what `gcl prepare` wrote.")]
Model = Annotated[Path, typer.Option(help="Model folder: what `gcl train` or `gcl import-checkpoint` wrote.")]
Input = Annotated[Path, typer.Option("--input", help="An image, or a folder of images, nested or not.")]
Output = Annotated[
    Path, typer.Option("--output", help="Folder for PNGs of the same names, or for one image a .png file.")
]
Translated = Annotated[Path, typer.Option(help="Translated images: what `gcl translate` wrote.")]
Reports = Annotated[Path, typer.Option(help="Folder of metrics, curves, pictures and the report.")]
RunFile = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps the id of the MLflow run.", show_default="data/run.json, or beside other reports"
    ),
]
Unfinished = Annotated[Path, typer.Option(help="Folder of what a killed training goes on from.")]
Restart = Annotated[bool, typer.Option("--restart", help="Start afresh, whatever is there.")]

PARAMS, ABLATIONS, UNFINISHED = Path("params.yaml"), Path("data/ablations"), Path("data/unfinished")


class Network(StrEnum):
    """The bundled networks."""

    encoder = "encoder"
    judge = "judge"
    segmenter = "segmenter"


class Part(StrEnum):
    """What `gcl bench` measures."""

    graph_loss = "graph-loss"
    step = "step"
    translation = "translation"
    evaluation = "evaluation"
    startup = "startup"


@app.command()
def prepare(params: ParamsFile = PARAMS, target: Annotated[Path, typer.Option(help="Folder to fill.")] = PREPARED):
    """Draw or import the data set: decoded once, upright, 8-bit RGB PNG, with a manifest."""
    numbers = _read(params)
    from pipeline.stages.prepare import prepare

    stop_cleanly()
    prepare(numbers.data, target)


@app.command()
def train(
    params: ParamsFile = PARAMS,
    prepared: Prepared = PREPARED,
    model: Model = MODEL,
    reports: Reports = REPORTS,
    run_file: RunFile = None,
    unfinished: Unfinished = UNFINISHED,
    restart: Restart = False,
):
    """Train the translation model; writes curves and sample grids on the way. Goes on where a killed call stopped."""
    numbers = _read(params)
    from pipeline.running.processes import on_all_devices
    from pipeline.stages.train import run_training

    stop_cleanly()
    file = run_file or training_run_file(reports, model)

    def work(fabric: "Fabric") -> None:
        run_training(fabric, numbers, prepared, model, reports, file, unfinished / "train", restart=restart)

    on_all_devices(numbers.train, prepared, work)


@app.command()
def translate(
    params: ParamsFile = PARAMS,
    model: Model = MODEL,
    source: Input = PREPARED / "testA",
    target: Output = TRANSLATED,
):
    """Translate images of any size, in the model's precision. Without a params.yaml on the best device there is."""
    in_project = params.is_file() or params != PARAMS
    accelerator = _read(params).train.accelerator if in_project else "auto"
    from pipeline.stages.translate import translate

    stop_cleanly()
    translate(accelerator, model, source, target)


@app.command()
def evaluate(
    params: ParamsFile = PARAMS,
    prepared: Prepared = PREPARED,
    translated: Translated = TRANSLATED,
    reports: Reports = REPORTS,
    run_file: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps the id of the MLflow run to log to.",
            show_default="data/run.json; for other folders nothing is logged",
        ),
    ] = None,
    run_name: Annotated[str | None, typer.Option(help="Log to a new MLflow run of this name instead.")] = None,
):
    """Measure FID, KID, LPIPS and, where the truth is known, PSNR, SSIM and IoU, each beside its yardsticks."""
    numbers = _read(params)
    from pipeline.stages.evaluate import run_evaluation

    stop_cleanly()
    log_to = evaluation_run_file(run_file, run_name, prepared, translated, reports)
    with only_writer(reports / "evaluation.json"):
        run_evaluation(numbers, prepared, translated, reports, log_to, run_name=run_name)


@app.command()
def report(
    params: ParamsFile = PARAMS,
    prepared: Prepared = PREPARED,
    model: Model = MODEL,
    translated: Translated = TRANSLATED,
    reports: Reports = REPORTS,
):
    """Write reports/report.md with its figures from what the other stages left."""
    numbers = _read(params)
    from pipeline.stages.report import write_report

    stop_cleanly()
    with only_writer(reports / "report.md"):
        write_report(numbers, prepared, model, translated, reports)


@app.command()
def variants(
    params: ParamsFile = PARAMS,
    target: Annotated[Path, typer.Option(help="Folder to fill, a file a variant.")] = Path("data/variants"),
):
    """Write down what each variant of the ablation reads, so that DVC reruns those that changed and no other."""
    from pipeline.stages.variants import write_variants

    stop_cleanly()
    write_variants(_read(params), target)


@app.command()
def ablate(
    variant: Annotated[str, typer.Argument(help="A name in ablate.variants of params.yaml.")],
    params: ParamsFile = PARAMS,
    prepared: Prepared = PREPARED,
    ablations: Annotated[Path, typer.Option(help="Folder to fill: VARIANT/seed_N.")] = ABLATIONS,
    unfinished: Unfinished = UNFINISHED,
    restart: Restart = False,
):
    """Train, translate and evaluate one variant, once a seed; what a killed call finished stays."""
    numbers = _read(params)
    from pipeline.running.processes import on_all_devices
    from pipeline.stages.ablate import run_ablation

    stop_cleanly()

    def work(fabric: "Fabric") -> None:
        run_ablation(fabric, numbers, variant, prepared, ablations / variant, unfinished, restart)

    on_all_devices(numbers.train, prepared, work)


@app.command()
def compare(
    params: ParamsFile = PARAMS,
    prepared: Prepared = PREPARED,
    translated: Translated = TRANSLATED,
    run_file: RunFile = None,
    ablations: Annotated[Path, typer.Option(help="Folder of the variants: what `gcl ablate` wrote.")] = ABLATIONS,
    reports: Reports = REPORTS,
):
    """Write reports/ablation.md: the main run beside its variants, with what seeds and test images leave open."""
    numbers = _read(params)
    from pipeline.stages.compare import compare

    stop_cleanly()
    with only_writer(reports / "ablation.md"):
        compare(numbers, prepared, translated, run_file or training_run_file(reports), ablations, reports)


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="Which one; without it they are listed.")] = None,
    params: ParamsFile = PARAMS,
):
    """Apply a preset, say the published setting, to params.yaml: its keys change, comments stay."""
    from pipeline.presets import apply_preset, list_presets

    stop_cleanly()
    list_presets() if name is None else apply_preset(name, params)


@app.command()
def sync_tracking():
    """Bring what the tracking server missed while it was down or slow into it; nothing comes in twice."""
    from pipeline.tracking.sync import sync_tracking

    stop_cleanly()
    sync_tracking()


@app.command()
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="A generator of the CUT family, say latest_net_G.pth.")],
    target: Annotated[Path, typer.Option(help="Model folder to write.")],
):
    """Make a model folder of a published generator; nothing in its file is run."""
    from gcl.exchange.public_checkpoints import import_checkpoint
    from pipeline.console import announce

    stop_cleanly()
    description = import_checkpoint(checkpoint, target)
    sizes = ", ".join(f"{key} {value}" for key, value in description["generator"].items())
    announce(f"imported a generator ({sizes}): {target}")
    if dropped := description["origin"].get("dropped"):
        announce(
            f"note: dropped {len(dropped)} running statistics, which its normalisations do not use: {dropped[0]}, ..."
        )


@app.command()
def export(onnx: Annotated[Path, typer.Option(help="File to write, ending in .onnx.")], model: Model = MODEL):
    """Write a model as ONNX for images of any number and size, checked against the original."""
    from gcl.exchange.onnx_export import export_onnx
    from gcl.networks.checkpoints import load_generator
    from pipeline.console import announce

    # Not stop_cleanly(): torch imports much in the middle of it, and nothing is ever left half-done.
    difference = export_onnx(load_generator(model), onnx)
    announce(f"exported, differs by at most {difference:.1g}: {onnx}")


@app.command()
def bench(
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; everything if nothing is named.")] = None,
    params: ParamsFile = PARAMS,
    output: Annotated[Path | None, typer.Option("--output", help="JSON file for the numbers.")] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only tell how long `dvc repro` takes here with these parameters.")
    ] = False,
):
    """Measure this machine: the graph loss, training steps, translation, evaluation, start-up. Wants it to itself."""
    numbers = _read(params)
    from pipeline.benchmarks.bench import bench, bench_estimate

    stop_cleanly()
    if estimate and parts:
        raise UserError(f"--estimate measures what it needs; leave out {' '.join(parts)}")
    if estimate:
        bench_estimate(numbers, PREPARED, output)
    else:
        bench(numbers, parts or list(Part), output)


@app.command()
def pretrain_encoder(
    network: Annotated[Network, typer.Argument(help="Which of the bundled networks.")] = Network.encoder,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Folder for NAME.safetensors and NAME.json.",
            show_default="where the bundled network lies: gcl/networks/weights or gcl/measures/weights",
        ),
    ] = None,
):
    """Train a bundled network again from scratch: minutes on a CPU."""
    import torch

    from gcl.pretraining.feature_networks import pretrain
    from gcl.pretraining.segmenter import pretrain_segmenter

    stop_cleanly()
    # The order of sums depends on the number of threads: with one, the recorded hashes can be met again.
    torch.set_num_threads(1)
    target = target or Path("gcl/networks/weights" if network is Network.encoder else "gcl/measures/weights")
    pretrain_segmenter(target) if network is Network.segmenter else pretrain(network.value, target)


def _read(file: Path) -> "Params":
    """The parameters in ``file``: read before a stage is imported, so that a wrong key is told at once."""
    from pipeline.params import read_params

    return read_params(file)


def main() -> None:
    """Runs the command line; a person's mistake ends in one message and exit status 1, without a traceback."""
    # Read when torch loads OpenMP, whose threads spin for milliseconds while they wait: as soon as another process
    # wants a core too, a training step takes many times as long. This is as fast alone and bearable in company.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    keep_freed_memory()
    # Where gcl bench imports torch-geometric; nothing a user could do about it.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    try:
        app()
    except (UserError, OSError) as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(1)
