"""Stage 5: what the other stages left -> reports/report.md and its figures. Same inputs, same bytes."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib import rc_context, rcParamsDefault

from gcl.config import GraphConfig, Params
from gcl.contrast.methods import METHODS, build_graph_loss, read_by_training
from gcl.errors import UserError
from gcl.files import replaced_folder, write_whole
from gcl.images.decoding import list_images
from gcl.images.manifest import Manifest, read_manifest
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.rows import SIDES, read_rows
from gcl.measures.verdict import verdict_on
from gcl.networks.checkpoints import load_weights, read_description
from gcl.networks.encoders import load_encoder
from gcl.training.gan_losses import SATURATED
from pipeline.console import announce
from pipeline.pages.figures import draw_curves, draw_graph, draw_samples
from pipeline.pages.graph_statistics import GraphStatistics, statistics_of
from pipeline.pages.rendering import existing, render
from pipeline.params import flatten

SAMPLES = 8
"""Test images in the report's sample grid."""

SHOWN = 2
"""Which of them the graph is drawn for."""


def write_report(params: Params, prepared: Path, model: Path, translated: Path, reports: Path) -> None:
    """Writes ``reports``/report.md and the pictures in ``reports``/figures."""
    manifest, description = read_manifest(prepared), read_description(model)
    if "method" not in description:
        raise UserError(f"{model}: this model was not trained here, so there is no training to report; run: gcl train")
    curves = pd.read_csv(existing(reports / "curves.csv", "gcl train"))
    results = read_rows(existing(reports / "evaluation.json", "gcl evaluate"))
    graph = GraphConfig.model_validate(description["graph"]) if "graph" in description else None
    inputs = list_images(prepared / "testA")
    graph_statistics = {}
    # A matplotlibrc of the user's must not change the bytes.
    with replaced_folder(reports / "figures") as figures, rc_context(rcParamsDefault):
        draw_samples(_sample_rows(inputs[:SAMPLES], prepared, translated, manifest), figures / "samples.png")
        draw_curves(curves, figures / "curves.png")
        if graph and graph.weight > 0:
            image = inputs[min(SHOWN, len(inputs) - 1)]
            graph_statistics = _draw_method(params, graph, model, image, translated, figures / "graph.png")
    text = render(
        "report.md.j2",
        params=_shown_params(params, description),
        method=METHODS[description["method"]].label,
        graph=graph,
        graph_statistics=graph_statistics,
        manifest=manifest,
        counts=manifest.counts(),
        last=curves.iloc[-1].to_dict(),
        lowest_discriminator=curves["discriminator"].min(),
        saturated=SATURATED,
        results=results,
        verdict=verdict_on(results),
        sides=SIDES,
        versions=description["versions"] | {"matplotlib": version("matplotlib")},
        threads=description["threads"],
    )
    write_whole(reports / "report.md", text.encode())
    announce(f"report: {reports / 'report.md'}")


def _sample_rows(inputs: list[Path], prepared: Path, translated: Path, manifest: Manifest) -> dict[str, list[Path]]:
    rows = {"input (A)": inputs, "translation": [translated / f"{path.stem}.png" for path in inputs]}
    real = prepared / "testB"
    if manifest.paired:
        return rows | {"truth (B)": [real / path.name for path in inputs]}
    return rows | {"real B": list_images(real)[: len(inputs)]}


@torch.no_grad()
def _draw_method(
    params: Params, graph: GraphConfig, model: Path, image: Path, translated: Path, target: Path
) -> dict[str, GraphStatistics]:
    """Draws the trained graph at work on one test image, patches by train.seed; its statistics by encoder layer."""
    encoder = load_encoder(params.encoder.name, params.encoder.layers, params.encoder.weights)
    loss = build_graph_loss(graph, encoder.channels)
    load_weights(loss, model / "contrast.safetensors")
    pair = image, translated / f"{image.stem}.png"
    features = [encoder(to_signed(to_tensor(path)).unsqueeze(0)) for path in pair]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.train.seed)
        _, graphs = loss(*features)
    draw_graph(graphs[-1], pair, target)
    return {
        layer: statistics_of(of_layer.to_data()[0])
        for layer, of_layer in zip(params.encoder.layers, graphs, strict=True)
    }


def _shown_params(params: Params, description: dict[str, Any]) -> dict[str, Any]:
    """Flat parameters, those of the training as it was; of a path only its last part, which no machine owns."""
    flat = flatten(params.model_dump(include=set(read_by_training(params))))
    trained = flatten({section: values for section, values in description.items() if section in dict(params)})
    return {key: value.name if isinstance(value, Path) else value for key, value in (flat | trained).items()}
