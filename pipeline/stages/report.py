"""Stage 5: the results of the other stages -> reports/report.md and its figures. Same inputs, same bytes."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib import rc_context, rcParamsDefault
from pydantic import ValidationError

from gcl.config import OTHER, GraphConfig, Params
from gcl.contrast.methods import METHODS, build_graph_loss, read_by_training
from gcl.diagnosis.evidence import MOST, read_evidence
from gcl.diagnosis.symptoms import diagnose
from gcl.errors import UserError
from gcl.files import replaced_folder, write_whole
from gcl.images.pixels import to_signed
from gcl.images.prepared import Prepared
from gcl.images.spreading import spread_out
from gcl.measures.evaluation_rows import SIDES, check_rows
from gcl.measures.measurement import bounded_pixels
from gcl.measures.verdict import verdict_on
from gcl.networks.encoders import load_encoder
from gcl.networks.model_folder import load_weights, read_description
from gcl.training.gan_losses import loss_of
from pipeline.console import announce
from pipeline.pages.figures import draw_curves, draw_graph, draw_pictures, draw_samples, draw_validation
from pipeline.pages.rendering import render
from pipeline.params import flatten
from pipeline.running.run_folder import RunFolder
from pipeline.variant_params import written

if TYPE_CHECKING:
    from pipeline.pages.graph_statistics import GraphStatistics

SAMPLES = 8
"""The number of test images in the report's sample grid."""

STAGES = 6
"""The number of sample grids in the report on a single picture."""

SHOWN = 2
"""The index of the test image for which the graph is drawn."""


def write_report(params: Params, prepared: Prepared, run: RunFolder) -> None:
    """Writes report.md and the pictures in figures/ into the reports of ``run``."""
    description = read_description(run.model)
    if "method" not in description:
        raise UserError(
            f"{run.model}: this model was not trained here, so there is no training to report; run: gcl train"
        )
    manifest, curves, results = prepared.manifest, run.curves, list(run.metrics.values())
    check_rows(results, run.reports)
    graph = _trained_graph(description, run.model)
    inputs = prepared.images("testA")
    checkpoints, validation = description.get("checkpoints", {}), description.get("validation")
    discriminator = description["discriminator"]
    saturated = loss_of(discriminator["name"], discriminator.get("loss", "auto")).saturated
    losses = curves["discriminator"].to_numpy()
    findings = diagnose(read_evidence(inputs, run.translation, prepared.images("trainB"), losses, saturated))
    graph_statistics = {}
    # A user's matplotlibrc must not change the bytes.
    with replaced_folder(run.reports / "figures") as figures, rc_context(rcParamsDefault):
        if manifest.single_image:
            draw_pictures(_pictures(inputs[0], prepared, run), 3, figures / "samples.png")
            draw_pictures(_stages(run), 1, figures / "stages.png")
        else:
            draw_samples(_sample_rows(inputs[:SAMPLES], prepared, run), figures / "samples.png")
        draw_curves(curves, figures / "curves.png")
        if validation:
            steps = {name: checkpoint["step"] for name, checkpoint in checkpoints.items()}
            yardsticks = {name: validation[name] for name in ("untranslated", "real")}
            draw_validation(run.validation, steps, yardsticks, figures / "validation.png")
        if graph and graph.weight > 0:
            image = inputs[min(SHOWN, len(inputs) - 1)]
            graph_statistics = _draw_method(params, graph, run, image, figures / "graph.png")
    text = render(
        "report.md.j2",
        params=_shown_params(params, description),
        method=METHODS[description["method"]].label,
        graph=graph,
        graph_statistics=graph_statistics,
        manifest=manifest,
        counts=manifest.counts(),
        checkpoints=checkpoints,
        validation=validation,
        chosen=params.translate.checkpoint,
        other=OTHER[params.translate.checkpoint],
        compared=any(row.get("other_checkpoint") is not None for row in results),
        start=description.get("start_from"),
        last=curves.iloc[-1].to_dict(),
        findings=findings,
        section=METHODS[description["method"]].section,
        looked_at=MOST,
        results=results,
        verdict=verdict_on(results),
        sides=SIDES,
        versions=description["versions"] | {"matplotlib": version("matplotlib")},
        threads=description["threads"],
    )
    write_whole(run.reports / "report.md", text.encode())
    for finding in findings:
        if finding.found:
            announce(f"found: {finding.symptom.name}. {finding.symptom.meaning}")
    announce(f"report: {run.reports / 'report.md'}")


def _trained_graph(description: dict[str, Any], model: Path) -> GraphConfig | None:
    """The parameters of the graph loss with which ``model`` was trained; None for another method."""
    if "graph" not in description:
        return None
    try:
        return GraphConfig.model_validate(description["graph"])
    except ValidationError as error:
        keys = ", ".join(f"graph.{problem['loc'][0]}" for problem in error.errors() if problem["loc"])
        raise UserError(
            f"{model / 'model.json'}: its {keys} does not suit this version, so the training cannot be reported; "
            "translating still works. Train again with: gcl train"
        ) from error


def _pictures(image: Path, prepared: Prepared, run: RunFolder) -> dict[str, Path]:
    (of_b,) = prepared.images("testB")
    return {"input (A)": image, "translation": run.translation(image.stem), "real B": of_b}


def _stages(run: RunFolder) -> dict[str, Path]:
    """A few sample grids of the training, by the step."""
    grids = {int(path.stem.removeprefix("step_")): path for path in run.samples.glob("step_*.png")}
    if not grids:
        raise UserError(f"{run.samples}: no sample grids here; train again: gcl train --restart")
    return {f"step {step}": grids[step] for step in spread_out(sorted(grids), STAGES)}


def _sample_rows(inputs: list[Path], prepared: Prepared, run: RunFolder) -> dict[str, list[Path]]:
    rows = {"input (A)": inputs, "translation": [run.translation(path.stem) for path in inputs]}
    if prepared.manifest.paired:
        return rows | {"truth (B)": [prepared.truth(path) for path in inputs]}
    return rows | {"real B": prepared.images("testB")[: len(inputs)]}


@torch.no_grad()
def _draw_method(
    params: Params, graph: GraphConfig, run: RunFolder, image: Path, target: Path
) -> "dict[str, GraphStatistics]":
    """Draws the trained graph for one test image, with patches by train.seed; returns statistics by encoder layer."""
    # Imported here because it imports torch-geometric, which takes seconds.
    from pipeline.pages.graph_statistics import statistics_of

    encoder = load_encoder(params.encoder.name, params.encoder.layers, params.encoder.weights)
    loss = build_graph_loss(graph, encoder.channels)
    load_weights(loss, run.model / "contrast.safetensors")
    pair = [bounded_pixels(path) for path in (image, run.translation(image.stem))]
    features = [encoder(to_signed(pixels).unsqueeze(0)) for pixels in pair]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.train.seed)
        _, graphs = loss(*features)
    draw_graph(graphs[-1], encoder.strides[-1], pair, target)
    return {
        layer: statistics_of(of_layer.to_data()[0])
        for layer, of_layer in zip(params.encoder.layers, graphs, strict=True)
    }


def _shown_params(params: Params, description: dict[str, Any]) -> dict[str, Any]:
    """Flat parameters as params.yaml spells them, with the model's own for the training."""
    flat = flatten(params.model_dump(include=set(read_by_training(params))))
    trained = flatten({section: values for section, values in description.items() if section in dict(params)})
    # Of a path only the name is shown, since the rest belongs to one machine.
    return {key: value.name if isinstance(value, Path) else written(value) for key, value in (flat | trained).items()}
