"""The commands that are not stages.

What they call is imported inside them, because torch and MLflow take seconds that ``--help`` must not cost.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gcl.errors import UserError
from pipeline.commands.folders import MODEL, PARAMS, PREPARED
from pipeline.commands.options import ModelFolder, ParamsFile, params_in
from pipeline.running.stopping import stop_cleanly

app = typer.Typer()


class Network(StrEnum):
    """A bundled network."""

    encoder = "encoder"
    judge = "judge"
    segmenter = "segmenter"


class Part(StrEnum):
    """A part of what `gcl bench` measures."""

    graph_loss = "graph-loss"
    step = "step"
    translation = "translation"
    evaluation = "evaluation"
    startup = "startup"


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="The preset's name; without it, all are listed.")] = None,
    params_file: ParamsFile = PARAMS,
):
    """Apply a preset, such as the published setting, to params.yaml; its comments are kept."""
    from pipeline.presets.apply import apply_preset, list_presets

    stop_cleanly()
    list_presets() if name is None else apply_preset(name, params_file)


@app.command()
def sync_tracking():
    """Send the tracking server what it missed while it was down or slow; nothing is logged twice."""
    from pipeline.tracking.sync import sync_tracking

    stop_cleanly()
    sync_tracking()


@app.command()
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="A generator of the CUT family, such as latest_net_G.pth.")],
    target: Annotated[Path, typer.Option(help="Model folder to write.")],
):
    """Turn a published generator into a model folder; no code in its file is run."""
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
def export(onnx: Annotated[Path, typer.Option(help="File to write, ending in .onnx.")], model: ModelFolder = MODEL):
    """Export a model to ONNX, for any number and size of images, checked against the original."""
    from gcl.exchange.onnx_export import export_onnx, limits
    from gcl.networks.model_folder import load_generator
    from pipeline.console import announce

    # stop_cleanly() is not called: torch imports a lot in the middle of an export, where an exception would end in a
    # long traceback, and nothing is ever left half-done.
    generator = load_generator(model)
    difference = export_onnx(generator, onnx)
    announce(f"exported, differs by at most {difference:.1g}: {onnx}")
    announce("note: it takes {memory}; tiles {tiles}".format_map(limits(generator)))


@app.command()
def bench(
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; everything by default.")] = None,
    params_file: ParamsFile = PARAMS,
    output: Annotated[Path | None, typer.Option("--output", help="JSON file for the measurements.")] = None,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate", help="Only estimate how long `dvc repro` takes here, with and without its ablation."
        ),
    ] = False,
):
    """Time graph loss, training steps, translation, evaluation and start-up on this machine, which should be idle."""
    params = params_in(params_file)
    from gcl.images.prepared import Prepared
    from pipeline.benchmarks.bench import bench, bench_estimate

    stop_cleanly()
    if estimate and parts:
        raise UserError(f"--estimate measures what it needs; leave out {' '.join(parts)}")
    if estimate:
        bench_estimate(params, Prepared(PREPARED), output)
    else:
        bench(params, parts or list(Part), output)


@app.command()
def pretrain_encoder(
    network: Annotated[Network, typer.Argument(help="The bundled network to train.")] = Network.encoder,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Folder for NAME.safetensors and NAME.json.",
            show_default="the bundled network's folder, gcl/networks/weights or gcl/measures/weights",
        ),
    ] = None,
):
    """Train a bundled network again from scratch, which takes minutes on a CPU."""
    import torch

    from gcl.pretraining.encoder_and_judge import pretrain
    from gcl.pretraining.segmenter import pretrain_segmenter

    stop_cleanly()
    # The order of summation depends on the number of threads; with one, the recorded hashes can be reproduced.
    torch.set_num_threads(1)
    target = target or Path("gcl/networks/weights" if network is Network.encoder else "gcl/measures/weights")
    pretrain_segmenter(target) if network is Network.segmenter else pretrain(network.value, target)
