"""Stage 5: what the other stages left -> reports/report.md and its figures. Same inputs, same bytes."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from gcl.checkpoints import load_weights, read_description
from gcl.config import Params
from gcl.encoders import load_encoder
from gcl.errors import UserError
from gcl.images import list_images
from gcl.manifest import Manifest, read_manifest
from pipeline.console import announce
from pipeline.evaluate import DIRECTION
from pipeline.figures import draw_curves, draw_samples, draw_shared_graph
from pipeline.params import flatten
from pipeline.train import build_loss

SAMPLES = 8
"""Test images in the report's sample grid."""

LIBRARIES = (
    "torch",
    "torchvision",
    "torch-geometric",
    "torch-fidelity",
    "lpips",
    "lightning-fabric",
    "mlflow",
    "dvc",
)


def write_report(params: Params, prepared: Path, model: Path, translated: Path, reports: Path) -> None:
    """Writes ``reports``/report.md and the pictures in ``reports``/figures."""
    manifest = read_manifest(prepared)
    curves = pd.read_csv(_existing(reports / "curves.csv", "gcl train"))
    results = json.loads(_existing(reports / "evaluation.json", "gcl evaluate").read_text(encoding="utf-8"))
    figures = reports / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    inputs = list_images(prepared / "testA")
    draw_samples(_sample_rows(inputs[:SAMPLES], prepared, translated, manifest), figures / "samples.png")
    draw_curves(curves, figures / "curves.png")
    _draw_method(params, model, inputs[0], translated, figures / "graph.png")
    text = _template().render(
        params=_shown_params(params),
        manifest=manifest,
        counts=manifest.counts(),
        model=read_description(model),
        last=curves.iloc[-1].to_dict(),
        lowest_discriminator=curves["discriminator"].min(),
        results=[{**result, "better": DIRECTION[result["name"].split("_")[0]]} for result in results],
        versions={name: version(name) for name in LIBRARIES},
        features=params.evaluate.features,
    )
    (reports / "report.md").write_text(text, encoding="utf-8")
    announce(f"report: {reports / 'report.md'}")


def _sample_rows(inputs: list[Path], prepared: Path, translated: Path, manifest: Manifest) -> dict[str, list[Path]]:
    rows = {"input (A)": inputs, "translation": [translated / f"{path.stem}.png" for path in inputs]}
    real = prepared / "testB"
    if manifest.paired:
        return rows | {"truth (B)": [real / path.name for path in inputs]}
    return rows | {"unrelated B": list_images(real)[: len(inputs)]}


def _draw_method(params: Params, model: Path, image: Path, translated: Path, target: Path) -> None:
    """The trained graph at work on the first test image, with patches drawn by the training's seed."""
    encoder = load_encoder(params.encoder.name, params.encoder.layers, params.encoder.weights)
    loss = build_loss(params.graph, encoder.channels)
    load_weights(loss, model / "contrast.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.train.seed)
        draw_shared_graph(encoder, loss, (image, translated / f"{image.stem}.png"), target)


def _shown_params(params: Params) -> dict[str, Any]:
    """Flat parameters; of a path only its last part, since the rest belongs to one machine."""
    flat = flatten(params.model_dump())
    return {key: value.name if isinstance(value, Path) else value for key, value in flat.items()}


def _template():
    environment = Environment(
        loader=PackageLoader("pipeline"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: "-" if value is None else f"{value:.4g}"
    return environment.get_template("report.md.j2")


def _existing(path: Path, command: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: not there yet; run: {command}")
    return path
