"""Pretrains the segmenter of the metrics on drawn scenes of zebras.

Left to itself it would take anything black or white for a zebra. While it learns, some animals therefore have their
stripes painted over and must not be found.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, track
from safetensors.torch import save
from torch import Generator, Tensor
from torch.nn import functional

from gcl.files import write_json, write_whole
from gcl.images.masks import ANIMAL, CLASSES, GROUND
from gcl.images.pixels import to_signed
from gcl.measures.intersection_over_union import intersection_over_union, mean_over_present
from gcl.measures.segmenter import WIDTHS, Segmenter, segment
from gcl.sources.drawn.scenes import draw_mask, draw_scene

SEED = 977
STEPS = 300
BATCH = 16
PLAIN = 4
"""The number of pictures per batch whose animals have their stripes painted over."""
LEARNING_RATE = 4e-3
SCENES = 1500
HELD_OUT_SCENES = 200
# No data set of an experiment reaches these indices, so none shares a scene with these even under the same seed.
FIRST_SCENE = 10_000_000
FIRST_HELD_OUT_SCENE = 20_000_000


def draw(pool: Executor, one: Callable[[int], np.ndarray], first: int, count: int) -> Tensor:
    """What `one` draws for consecutive indices, as uint8: masks (count,64,64) or images (count,3,64,64)."""
    drawn = pool.map(one, range(first, first + count), chunksize=16)
    stack = np.stack(list(track(drawn, "drawing", total=count, transient=True)))
    return torch.from_numpy(stack if stack.ndim == 3 else stack.transpose(0, 3, 1, 2).copy())


def draw_lessons(pool: Executor, seed: int) -> tuple[Tensor, Tensor]:
    """Draws the zebra pictures to learn from, (SCENES,3,64,64) uint8, and their masks (SCENES,64,64)."""
    images = draw(pool, partial(draw_scene, seed, domain="B"), FIRST_SCENE, SCENES)
    return images, draw(pool, partial(draw_mask, seed), FIRST_SCENE, SCENES)


def draw_exams(pool: Executor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Draws held-out scenes in three versions, each (HELD_OUT_SCENES,3,64,64) uint8, and the masks that all share.

    The third version shows horses on a savanna, as a translation would that changes only the landscape.
    """
    held_out = FIRST_HELD_OUT_SCENE, HELD_OUT_SCENES
    zebras = draw(pool, partial(draw_scene, seed, domain="B"), *held_out)
    horses = draw(pool, partial(draw_scene, seed, domain="A"), *held_out)
    masks = draw(pool, partial(draw_mask, seed), *held_out)
    mixture = torch.where(masks[:, None] == ANIMAL, horses, zebras)
    return {"zebras": zebras, "horses": horses, "horses_on_savanna": mixture}, masks


def uniform_factors(count: int, generator: Generator, low: float, high: float, channels: int = 1) -> Tensor:
    """Random numbers for a batch of images: (count,channels,1,1) in [low,high)."""
    return low + (high - low) * torch.rand(count, channels, 1, 1, generator=generator)


def paint_over(images: Tensor, masks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Paints the animals of images (B,3,H,W) plain, lit from above, and labels them as ground in masks (B,H,W)."""
    uniform = partial(uniform_factors, len(images), generator)
    light = torch.linspace(1, -1, images.shape[2]).view(-1, 1) * uniform(0, 0.3)
    coats = uniform(-1, 1) + uniform(-0.3, 0.3, channels=3) + light
    animals = masks == ANIMAL
    return torch.where(animals[:, None], coats, images).clamp(-1, 1), masks.masked_fill(animals, GROUND)


def jitter(images: Tensor, generator: Generator) -> Tensor:
    """Varies brightness, contrast, tint and sharpness of images (B,3,H,W) in [-1,1] slightly, and adds some noise.

    A translation is judged by where its zebras are, not by flaws as small as these.
    """
    uniform = partial(uniform_factors, len(images), generator)
    softened = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.lerp(images, softened, uniform(0, 0.8))
    images = images * uniform(0.85, 1.15) + uniform(-0.12, 0.12) + uniform(-0.05, 0.05, channels=3)
    noise = torch.randn(images.shape, generator=generator)
    return (images + uniform(0, 0.08) * noise).clamp(-1, 1)


def draw_batches(images: Tensor, masks: Tensor, steps: int, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields jittered batches: images (BATCH,3,H,W) in [-1,1] and class ids (BATCH,H,W) int64.

    Every other picture is mirrored, and the first PLAIN have their animals painted over.
    """
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        batch, labels = to_signed(images[chosen]), masks[chosen].long()
        batch[::2], labels[::2] = batch[::2].flip(-1), labels[::2].flip(-1)
        batch[:PLAIN], labels[:PLAIN] = paint_over(batch[:PLAIN], labels[:PLAIN], generator)
        yield jitter(batch, generator), labels


def train(segmenter: Segmenter, images: Tensor, masks: Tensor, steps: int, generator: Generator) -> None:
    segmenter.train()
    optimiser = torch.optim.AdamW(segmenter.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    with Progress(transient=True) as progress:
        bar = progress.add_task("segmenter", total=steps)
        for batch, labels in draw_batches(images, masks, steps, generator):
            loss = functional.cross_entropy(segmenter(batch), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.update(bar, advance=1, description=f"segmenter: loss {loss.item():.3f}")
    segmenter.eval()


def score(segmenter: Segmenter, images: Tensor, masks: Tensor) -> dict[str, float]:
    """The intersection over union of each class, and their mean, for images (B,3,H,W) uint8 and masks (B,H,W)."""
    found = torch.cat([segment(segmenter, to_signed(batch)) for batch in images.split(BATCH)])
    shares = intersection_over_union([found.numpy()], [masks.numpy()], len(CLASSES))
    named = dict(zip(CLASSES, shares, strict=True), mean=mean_over_present(shares))
    return {name: round(share, 4) for name, share in named.items()}


def pretrain_segmenter(folder: Path, steps: int = STEPS, seed: int = SEED) -> None:
    """Trains the segmenter on zebra scenes; writes segmenter.safetensors and segmenter.json to ``folder``.

    The .json holds its shape, seed, steps, number of parameters, the SHA-256 of the weights, and how well it
    finds each class in held-out scenes: with zebras, which it should find, and with horses, which it should not.
    On the same machine with the same number of threads, the same arguments give the same bytes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Channels last is the faster memory format for convolutions on a CPU.
        segmenter = Segmenter().to(memory_format=torch.channels_last)
    # Processes are spawned, not forked: torch may have started threads already, which a fork would lose.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        lessons = draw_lessons(pool, seed)
        pictures, masks = draw_exams(pool, seed)
    train(segmenter, *lessons, steps, Generator().manual_seed(seed))
    weights = save({name: value.contiguous() for name, value in segmenter.state_dict().items()})
    record = {
        "network": "segmenter",
        "architecture": "U-Net of 3x3 convolutions with batch normalisation, two to a level",
        "widths": WIDTHS,
        "parameters": sum(parameter.numel() for parameter in segmenter.parameters()),
        "seed": seed,
        "steps": steps,
        "batch": BATCH,
        "scenes": SCENES,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "held_out_overlap": {name: score(segmenter, images, masks) for name, images in pictures.items()},
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "segmenter.safetensors", weights)
    write_json(folder / "segmenter.json", record)
