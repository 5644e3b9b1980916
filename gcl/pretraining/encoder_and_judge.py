"""Pretrains the bundled encoder and judge: they learn to name what is drawn where in procedural textures.

Afterwards the heads that do the naming are discarded and batch normalisation is folded into the convolutions, which
leaves a plain network of convolutions and ReLUs.
"""

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Literal

import torch
from rich.progress import Progress
from safetensors.torch import save
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.lr_scheduler import LambdaLR

from gcl.files import write_json, write_whole
from gcl.networks.architectures import JUDGE, SMALL, Plan
from gcl.networks.vgg import layers_of
from gcl.pretraining.textures import SHAPES, SURFACE, UNDEFINED, draw_batch

NETWORK_PLANS = {"encoder": SMALL, "judge": JUDGE}
SEEDS = {"encoder": 1, "judge": 2}
STEPS = 1600
BATCH = 16
WARM_UP = 20
FILTER_RATE = 0.1
ANSWER_RATE = 1e-2
MOMENTUM = 0.8
EDGE_SHARE = 0.75
HELD_OUT_SEED = 2**40
HELD_OUT_BATCHES = 32

TASKS = {"inside": 2, "shape": len(SHAPES)} | SURFACE
"""The number of classes of each question; every question is asked at every position of a layer."""

Answers = dict[str, dict[str, Tensor]]
"""Logits (B, TASKS[task], H, W) by layer, then by task."""


class Classifier(nn.Module):
    """A plan's network with batch normalisation, and linear heads that answer at every position of each block's end.

    Asking at every position makes features tell neighbouring surfaces apart. Asking at several layers makes the
    features of each worth comparing; the first block sees too few pixels at a time to be asked anything.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.trunk = nn.ModuleDict()
        for name, layer in layers_of(plan):
            self.trunk[name] = layer
            if isinstance(layer, nn.Conv2d):
                _start(layer.weight)
                self.trunk[name.replace("conv", "norm")] = nn.BatchNorm2d(layer.out_channels)
        widths = zip(plan.block_ends(), plan.widths, strict=True)
        self.heads = nn.ModuleDict({name: nn.Conv2d(width, sum(TASKS.values()), 1) for name, width in widths})
        del self.heads[plan.block_ends()[0]]

    def forward(self, images: Tensor) -> Answers:
        """Maps images (B,3,64,64) in [-1,1] to the answers of every head."""
        hidden, answers = images, {}
        for name, layer in self.trunk.items():
            hidden = layer(hidden)
            if name in self.heads:
                logits = self.heads[name](hidden).split(list(TASKS.values()), dim=1)
                answers[name] = dict(zip(TASKS, logits, strict=True))
        return answers


class Muon(torch.optim.Optimizer):
    """Updates convolutions along their orthogonalised momentum (Jordan et al. 2024).

    Flat colour makes up most of what a new filter sees, and plain gradients follow it alone for a long time.
    Orthogonalised, they follow edges just as fast, so that training takes a fraction of the steps. Under batch
    normalisation only the direction of a filter matters, so filters are kept at unit length on average.
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        """Moves every parameter by ``lr`` times its own length."""
        for group in self.param_groups:
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(MOMENTUM).add_(weight.grad)
                ahead = weight.grad + MOMENTUM * momentum
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                # (C,K,3,3) -> (C,9K) and back
                weight.sub_(group["lr"] * _orthogonal(ahead.flatten(1)).view_as(weight))


def _orthogonal(matrix: Tensor) -> Tensor:
    """Approximates the nearest matrix (M,N) whose singular values are all one, by Newton-Schulz iterations."""
    matrix = matrix / (matrix.norm() + 1e-7)
    for _ in range(4):
        square = matrix @ matrix.T
        matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.7750 * square) @ matrix
    return matrix


@torch.no_grad()
def _start(filters: Tensor) -> None:
    """Draws random filters, most of which do not respond to flat surfaces and so detect edges from the first step."""
    nn.init.kaiming_normal_(filters)
    edges = filters[: int(EDGE_SHARE * len(filters))]
    edges -= edges.mean(dim=(2, 3), keepdim=True)


def fold(trunk: nn.ModuleDict) -> nn.Sequential:
    """Folds batch normalisation into the convolutions of a trunk in evaluation mode; the result computes the same."""
    layers = nn.Sequential()
    for layer in trunk.values():
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return layers


def pretrain(
    network: Literal["encoder", "judge"], folder: Path, steps: int = STEPS, seed: int | None = None
) -> dict[str, object]:
    """Trains one bundled network; writes NETWORK.safetensors and NETWORK.json to ``folder``.

    Returns the contents of the .json: shape, seed, steps, accuracy of every task by layer on held-out images,
    number of parameters, and the SHA-256 of the weights. ``seed`` defaults to the network's own in SEEDS.
    On the same machine with the same number of threads, the same arguments give the same bytes.
    """
    seed = SEEDS[network] if seed is None else seed
    plan = NETWORK_PLANS[network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last is the faster memory format for convolutions on a CPU.
        classifier = Classifier(plan).to(memory_format=torch.channels_last)
    _train(classifier, steps, Generator().manual_seed(seed), network)
    classifier.eval()
    folded = fold(classifier.trunk).state_dict()
    state = {f"features.{key}": value.contiguous() for key, value in folded.items()}
    weights = save(state)
    record = {
        "network": network,
        "widths": plan.widths,
        "convolutions": plan.convolutions,
        "parameters": sum(value.numel() for value in state.values()),
        "seed": seed,
        "steps": steps,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "held_out_accuracy": _accuracies(classifier),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{network}.safetensors", weights)
    write_json(folder / f"{network}.json", record)
    return record


def _train(classifier: Classifier, steps: int, generator: Generator, title: str) -> None:
    classifier.train()
    filters = [layer.weight for layer in classifier.trunk.values() if isinstance(layer, nn.Conv2d)]
    others = [parameter for parameter in classifier.parameters() if parameter not in set(filters)]
    optimisers = [Muon(filters, FILTER_RATE), torch.optim.Adam(others, ANSWER_RATE)]
    schedules = [LambdaLR(optimiser, lambda step: _pace(step, steps)) for optimiser in optimisers]
    with Progress(transient=True) as progress:
        bar = progress.add_task(title, total=steps)
        for _ in range(steps):
            images, labels = draw_batch(BATCH, generator)
            loss = _loss(classifier(images), labels)
            classifier.zero_grad()
            loss.backward()
            for part in (*optimisers, *schedules):
                part.step()
            progress.update(bar, advance=1, description=f"{title}: loss {loss.item():.2f}")


def _pace(step: int, steps: int) -> float:
    """The factor of the learning rates: a short linear rise, times a linear fall to zero."""
    return min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)


def _loss(answers: Answers, labels: dict[str, Tensor]) -> Tensor:
    terms = []
    for by_task in answers.values():
        for task, logits in by_task.items():
            right = _right_answers(task, labels, logits.shape[-1])
            total = functional.cross_entropy(logits, right, ignore_index=UNDEFINED, reduction="sum")
            # Torch's own mean is nan for a batch in which the question never applies.
            terms.append(total / (right != UNDEFINED).sum().clamp(min=1))
    return torch.stack(terms).sum()


def _right_answers(task: str, labels: dict[str, Tensor], size: int) -> Tensor:
    """The label (B,size,size) of every position of a layer, taken at the pixel in its middle."""
    stride = labels["inside"].shape[-1] // size
    inside = labels["inside"][:, stride // 2 :: stride, stride // 2 :: stride]
    if task == "inside":
        return inside
    if task == "shape":
        above, below = labels["shape"], torch.full_like(labels["shape"], UNDEFINED)
    else:
        above, below = labels[f"foreground_{task}"], labels[f"background_{task}"]
    return torch.where(inside == 1, above[:, None, None], below[:, None, None])


@torch.no_grad()
def _accuracies(classifier: Classifier) -> dict[str, dict[str, float]]:
    """The share of right answers by layer and task, over the positions of held-out images that have one."""
    generator = Generator().manual_seed(HELD_OUT_SEED)
    hits: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    for _ in range(HELD_OUT_BATCHES):
        images, labels = draw_batch(BATCH, generator)
        for layer, by_task in classifier(images).items():
            for task, logits in by_task.items():
                right = _right_answers(task, labels, logits.shape[-1])
                hits[layer, task].append((logits.argmax(1) == right)[right != UNDEFINED])
    accuracies: dict[str, dict[str, float]] = defaultdict(dict)
    for (layer, task), found in hits.items():
        accuracies[layer][task] = round(torch.cat(found).float().mean().item(), 4)
    return accuracies
