"""The speed of evaluation in test images per second: all metrics with the bundled features, and their yardsticks."""

from gcl.config import Params
from gcl.measures.evaluation import evaluate
from pipeline.benchmarks.settings import drawn_data, drawn_size
from pipeline.benchmarks.timing import Timing, interleaved
from pipeline.running.devices import one_device

TRAIN, TEST = 40, 40
"""The numbers of training and test images drawn per domain."""

BUDGET = 10.0
"""The seconds of rounds to measure."""


def measure_evaluation(params: Params) -> dict[str, object]:
    """Measures test images per second on drawn images of the setting's size; the truth stands in for translations."""
    bundled = params.evaluate.model_copy(update={"features": "small"})
    timing = evaluation_time(params.model_copy(update={"evaluate": bundled}), TRAIN, TEST, BUDGET)
    speed = {**timing.read(), "images_a_second": TEST / timing.seconds}
    return {"train": TRAIN, "test": TEST, "size": drawn_size(params), **speed}


def evaluation_time(params: Params, train: int, test: int, budget: float, least: int = 3) -> Timing:
    """How long the evaluation of ``test`` translations takes, with ``train`` images of B as a yardstick."""
    device = one_device(params.train.accelerator)
    with drawn_data(params, train, test) as prepared:
        call = {"evaluation": lambda: evaluate(params.evaluate, prepared, prepared.split("testB"), device.type)}
        return interleaved(call, device, budget, least)["evaluation"]
