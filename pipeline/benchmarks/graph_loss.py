"""Time and memory of the graph loss, forward and backward, compared with the same loss over PyG's lists of edges."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from gcl.contrast.graph_loss import GraphContrastiveLoss
from pipeline.benchmarks.memory import free_memory, in_new_process, memory_rise
from pipeline.benchmarks.timing import interleaved, seconds_of

LAYERS = ((256, 64), (512, 32), (512, 32))
"""The channels and the side of VGG16's relu3_1, relu4_1 and relu4_3 for images of 256 pixels."""

SHARED = 0.6
"""How much all positions have in common: nearly all possible edges then exist, as at the published threshold."""

PATCHES, BATCHES = (64, 256, 1024, 4096), (1, 4, 16)
DENSE, SPARSE = "tag", "TAGConv"
"""The same convolution twice: this project's and torch-geometric's."""

CONVOLUTIONS = (DENSE, SPARSE, "GCNConv", "SAGEConv", "GATv2Conv")
"""The convolutions that are compared at the published size."""

LIMIT = 10.0
"""The seconds of the longest call; a call that would take longer is skipped."""

FREE_SHARE = 0.25
"""The share of the free memory that a call may hold at once. What the process keeps grows to several times that."""

BUDGET = 2.0
"""The seconds of rounds to measure per size."""


@dataclass(frozen=True)
class Size:
    """The number N of patches per image, and the number of images per batch."""

    patches: int
    batch: int

    @property
    def pairs(self) -> int:
        """The number of pairs of nodes. Time and memory grow in proportion to it, or more slowly while it is small."""
        return self.batch * self.patches**2


PUBLISHED = Size(256, 1)
"""The published setting: 256 patches, and one image per batch."""


@dataclass(frozen=True)
class Cost:
    """The seconds and, if known, the bytes of memory of one call, and the size at which they were measured."""

    size: Size
    seconds: float
    memory: int | None

    def obstacle(self, size: Size, device: torch.device) -> str | None:
        """Why a larger ``size`` should not be tried, if this cost grows with the number of pairs; None if it can be."""
        growth, free = size.pairs / self.size.pairs, free_memory(device)
        if self.seconds * growth > LIMIT:
            return f"would take about {self.seconds * growth:.0f} s per call, more than {LIMIT:.0f} s"
        if (self.memory or 0) * growth > FREE_SHARE * free:
            needed, limit = (amount / 2**30 for amount in (self.memory * growth, FREE_SHARE * free))
            return f"would need about {needed:.0f} GiB, more than {limit:.1f} GiB, a quarter of what is free"
        return None


class GraphLossCall:
    """One forward and backward pass of the published graph loss, with any graph convolution, on random features.

    The feature maps are as large as for images of 256 pixels, or larger if they would have fewer positions than there
    are patches.
    """

    def __init__(self, convolution: str, size: Size, device: torch.device):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inputs, self.outputs = ([_features(*layer, size, device) for layer in LAYERS] for _ in range(2))
            channels = [channels for channels, _ in LAYERS]
            self.loss = GraphContrastiveLoss(channels, size.patches, convolution=convolution).to(device)
        for features in self.outputs:
            features.requires_grad_()
        self.density = math.nan

    def __call__(self) -> tuple[Tensor, ...]:
        """Computes the gradients by the output's features and by the parameters of all layers."""
        loss, graphs = self.loss(self.inputs, self.outputs)
        self.density = torch.stack([graph.density for graph in graphs]).mean()
        return torch.autograd.grad(loss, [*self.outputs, *self.loss.parameters()])


def measure_graph_loss(device: torch.device) -> dict[str, object]:
    """Measures the published convolution in both forms by size, and all convolutions at the published size."""
    return {"sizes": _by_size(device), "convolutions": _by_convolution(device)}


def _by_convolution(device: torch.device) -> dict[str, dict[str, float]]:
    calls = {name: GraphLossCall(name, PUBLISHED, device) for name in CONVOLUTIONS}
    timings = interleaved(calls, device, BUDGET)
    return {name: {**timing.read(), "ratio": timing.ratio(timings[DENSE])} for name, timing in timings.items()}


def _by_size(device: torch.device) -> list[dict[str, object]]:
    """One row per size, from small to large; a call that is too slow or too large has the reason instead of a time.

    On a CPU, the last row is the published size in a process that returns freed memory to the system, as Python does by
    default. Lists of edges allocate many large tensors, and take several times as long there.
    """
    sizes = sorted((Size(patches, batch) for patches in PATCHES for batch in BATCHES), key=lambda size: size.pairs)
    known: dict[str, Cost] = {}
    rows = sorted(_rows(sizes, known, device), key=lambda row: (row["patches"], row["batch"]))
    return [*rows, in_new_process(partial(_plain_row, device))] if device.type == "cpu" else rows


def _plain_row(device: torch.device) -> dict[str, object]:
    (row,) = _rows([PUBLISHED], {}, device)
    return {**row, "plain_process": True}


def _rows(sizes: list[Size], known: dict[str, Cost], device: torch.device) -> Iterator[dict[str, object]]:
    for size in sizes:
        obstacles = {name: known[name].obstacle(size, device) if name in known else None for name in (DENSE, SPARSE)}
        memory: dict[str, int | None] = {}
        for name in (DENSE, SPARSE):
            if obstacles[name] is None:
                memory[name], obstacles[name] = _memory(name, size, device)
        calls = {name: GraphLossCall(name, size, device) for name in (DENSE, SPARSE) if obstacles[name] is None}
        timings = interleaved(calls, device, BUDGET) if calls else {}
        known |= {name: Cost(size, timing.seconds, memory[name]) for name, timing in timings.items()}
        row = {name: {**timing.read(), "memory": memory[name]} for name, timing in timings.items()}
        row |= {name: {"skipped": obstacle} for name, obstacle in obstacles.items() if obstacle is not None}
        if len(timings) == 2:
            row["ratio"] = timings[SPARSE].ratio(timings[DENSE])
        if calls:
            row["density"] = float(next(iter(calls.values())).density)
        yield {**asdict(size), **row}


def _memory(name: str, size: Size, device: torch.device) -> tuple[int | None, str | None]:
    """The peak memory of a call, None if unknown, and why the call cannot be measured, None if it can."""
    measure: Callable[[], int | None] = partial(_memory_of_call, name, size, device)
    try:
        return (measure() if device.type == "cuda" else in_new_process(measure)), None
    except (torch.OutOfMemoryError, BrokenProcessPool):
        return None, "ran out of memory"


def _memory_of_call(name: str, size: Size, device: torch.device) -> int | None:
    # A small call comes first, because what the very first call loads and keeps is not the loss's own memory.
    small = GraphLossCall(name, Size(16, 1), device)
    seconds_of(small, device)
    return memory_rise(GraphLossCall(name, size, device), device)


def _features(channels: int, side: int, size: Size, device: torch.device) -> Tensor:
    """Random features (B, C, H, W) with at least N positions, channels last in memory like an encoder's in training."""
    side = max(side, math.ceil(math.sqrt(size.patches)))
    own = torch.randn(size.batch, channels, side, side, device=device)
    features = own + SHARED * torch.randn(size.batch, channels, 1, 1, device=device)
    return features.contiguous(memory_format=torch.channels_last)
