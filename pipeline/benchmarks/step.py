"""A whole training step: its parts, its bare convolutions, and the gain from precision and memory format."""

from itertools import product

import torch

from gcl.config import Params
from gcl.contrast.methods import method_of
from gcl.images.batches import batches
from gcl.images.prepared import Prepared
from gcl.training.from_params import build_trainer, training_pairs
from pipeline.benchmarks.convolutions import bare, record_convolutions
from pipeline.benchmarks.settings import drawn_data, offline, on_one_device
from pipeline.benchmarks.step_parts import StepParts
from pipeline.benchmarks.timing import interleaved
from pipeline.running.devices import make_fabric

BUDGET = 10.0
"""The seconds of rounds to measure for the parts, and as many for the combinations."""

IMAGES = 4
"""The number of training images drawn per domain."""

ENDLESS = 10**6
"""A number of steps that is never reached."""

PLAIN = "float32"
COMBINATIONS = {
    name + suffix: {"precision": precision, "channels_last": channels_last}
    for (name, precision), (suffix, channels_last) in product(
        ((PLAIN, "32-true"), ("bfloat16", "bf16-mixed")), (("", False), (", channels last", True))
    )
}
"""The settings that can be chosen for speed alone, by name, as keys of the section train."""


def measure_step(params: Params) -> dict[str, object]:
    """Measures the step of ``params`` on drawn images: its parts, and the whole in every one of ``COMBINATIONS``."""
    with offline(params) as local, drawn_data(params, train=IMAGES, test=2) as prepared:
        parts = _parts(local, prepared)
        return {
            "crop": params.train.crop_size,
            "batch": params.train.batch_size,
            "precision": params.train.precision,
            "channels_last": params.train.channels_last,
            **_split(parts),
            "combinations": _combinations(local, prepared),
        }


def _split(parts: StepParts) -> dict[str, object]:
    """Measures the step with its data, each part with its share of that, and the bare convolutions."""

    def whole() -> None:
        parts.data()
        parts.step()

    convolutions, calls = record_convolutions(parts.step), parts.calls()
    every = {"step": whole, **calls, "convolutions": bare(convolutions)}
    timings = interleaved(every, parts.fabric.device, BUDGET)
    step, backward = timings["step"], sum(convolution.backward for convolution in convolutions)
    return {
        "step": step.read(),
        "parts": {name: {**timings[name].read(), "share": timings[name].ratio(step)} for name in calls},
        "convolutions": {
            **timings["convolutions"].read(),
            "forward": len(convolutions) - backward,
            "backward": backward,
            "step_to_convolutions": step.ratio(timings["convolutions"]),
        },
    }


def _combinations(params: Params, prepared: Prepared) -> dict[str, dict[str, float]]:
    """Measures the step without its data in every combination, with its speed relative to the plain one."""
    trainings = {
        name: _parts(params.model_copy(update={"train": params.train.model_copy(update=changes)}), prepared)
        for name, changes in COMBINATIONS.items()
    }
    device = trainings[PLAIN].fabric.device
    timings = interleaved({name: parts.step for name, parts in trainings.items()}, device, BUDGET)
    return {name: {**timing.read(), "speedup": timings[PLAIN].ratio(timing)} for name, timing in timings.items()}


def _parts(params: Params, prepared: Prepared) -> StepParts:
    config = params.train.model_copy(update={"steps": ENDLESS})
    with torch.random.fork_rng():
        trainer = build_trainer(params.model_copy(update={"train": config}), make_fabric(on_one_device(config)))
        pairs = iter(batches(training_pairs(config, prepared, processes=1), config.batch_size, workers=0))
        return StepParts(trainer, pairs, method_of(params).loss)
