"""The segmenter: what the bundled one finds and refuses to find, and how it is trained."""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from gcl.images.masks import ANIMAL, CLASSES, GROUND, SKY
from gcl.images.pixels import to_signed
from gcl.measures.intersection_over_union import intersection_over_union
from gcl.measures.segmenter import STRIDE, WEIGHTS, load_segmenter, segment
from gcl.pretraining.segmenter import draw, paint_over, pretrain_segmenter
from gcl.sources.drawn.scenes import draw_mask, draw_scene

SCENES = range(40)


def overlaps(found: Tensor, masks: Tensor) -> np.ndarray:
    """The intersection over union of two tensors of ids, per class."""
    return np.array(intersection_over_union([found.numpy()], [masks.numpy()], len(CLASSES)))


@pytest.fixture(scope="module")
def segmenter() -> nn.Module:
    return load_segmenter()


def drawn(domain: str) -> Tensor:
    """Scenes that nobody trained on: (40,3,64,64) in [-1,1]."""
    pictures = np.stack([draw_scene(31, index, domain) for index in SCENES])
    return to_signed(torch.from_numpy(pictures).permute(0, 3, 1, 2))


@pytest.fixture(scope="module")
def zebras() -> Tensor:
    return drawn("B")


@pytest.fixture(scope="module")
def horses() -> Tensor:
    return drawn("A")


@pytest.fixture(scope="module")
def masks() -> Tensor:
    return torch.from_numpy(np.stack([draw_mask(31, index) for index in SCENES]))


def test_bundled_weights_are_those_of_the_record() -> None:
    weights = WEIGHTS.read_bytes()
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert hashlib.sha256(weights).hexdigest() == record["sha256"]
    assert len(weights) < 800_000


def test_bundled_segmenter_is_frozen(segmenter: nn.Module) -> None:
    assert not any(part.training for part in segmenter.modules())
    assert not any(parameter.requires_grad for parameter in segmenter.parameters())


def test_finds_every_class_in_zebra_pictures(segmenter: nn.Module, zebras: Tensor, masks: Tensor) -> None:
    found = segment(segmenter, zebras)
    assert found.dtype == torch.int64 and found.shape == masks.shape
    shares = overlaps(found, masks)
    assert shares[ANIMAL] > 0.9 and shares.mean() > 0.9, shares


def test_bears_with_small_flaws(segmenter: nn.Module, zebras: Tensor, masks: Tensor) -> None:
    noise = torch.randn(zebras.shape, generator=Generator().manual_seed(0))
    flawed = (0.9 * zebras + 0.05 + 0.05 * noise).clamp(-1, 1)
    assert overlaps(segment(segmenter, flawed), masks)[ANIMAL] > 0.85


def test_a_horse_is_no_zebra(segmenter: nn.Module, horses: Tensor, masks: Tensor) -> None:
    assert overlaps(segment(segmenter, horses), masks)[ANIMAL] < 0.5


def test_nor_on_savanna(segmenter: nn.Module, horses: Tensor, zebras: Tensor, masks: Tensor) -> None:
    mixture = torch.where(masks[:, None] == ANIMAL, horses, zebras)
    shares = overlaps(segment(segmenter, mixture), masks)
    assert shares[ANIMAL] < 0.3 and shares[SKY] > 0.9, shares


@pytest.mark.parametrize("size", [(64, 61), (33, 50), (1, 7)])
def test_any_size_is_kept(segmenter: nn.Module, zebras: Tensor, size: tuple[int, int]) -> None:
    assert any(side % STRIDE for side in size)
    found = segment(segmenter, zebras[:2, :, : size[0], : size[1]])
    assert found.shape == (2, *size)


def test_padding_changes_little(segmenter: nn.Module, zebras: Tensor, masks: Tensor) -> None:
    cropped = segment(segmenter, zebras[..., :61, :63])
    assert overlaps(cropped, masks[:, :61, :63]).mean() > 0.9


def test_painting_over_changes_animals_alone(zebras: Tensor, masks: Tensor) -> None:
    images, labels = paint_over(zebras, masks.long(), Generator().manual_seed(3))
    animals = masks == ANIMAL
    kept = ~animals[:, None].expand_as(images)
    assert torch.equal(images[kept], zebras[kept]) and torch.equal(labels[~animals], masks.long()[~animals])
    assert (labels[animals] == GROUND).all()
    # No row of a plain animal shows more than one colour.
    row = images[0, :, 40][:, animals[0, 40]]
    assert row.shape[1] > 1 and row.std(1).max() < 1e-6


def test_processes_draw_the_scenes_in_order() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        images = draw(pool, partial(draw_scene, 31, domain="B"), 5, 2)
        masks = draw(pool, partial(draw_mask, 31), 5, 2)
    assert images.shape == (2, 3, 64, 64) and images.dtype == masks.dtype == torch.uint8
    for offset in range(2):
        assert np.array_equal(images[offset].permute(1, 2, 0), draw_scene(31, 5 + offset, "B"))
        assert np.array_equal(masks[offset], draw_mask(31, 5 + offset))


@pytest.fixture
def few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcl.pretraining.segmenter.BATCH", 8)
    monkeypatch.setattr("gcl.pretraining.segmenter.SCENES", 12)
    monkeypatch.setattr("gcl.pretraining.segmenter.HELD_OUT_SCENES", 2)
    # Threads draw the same scenes and start at once.
    monkeypatch.setattr("gcl.pretraining.segmenter.ProcessPoolExecutor", lambda workers, _: ThreadPoolExecutor(workers))


def test_pretraining_is_deterministic_and_seeded(tmp_path: Path, few_scenes: None) -> None:
    train = partial(pretrain_segmenter, steps=2)
    train(tmp_path / "first", seed=7)
    torch.rand(5)
    train(tmp_path / "second", seed=7)
    train(tmp_path / "third", seed=8)
    files = ("segmenter.json", "segmenter.safetensors")
    first, second, third = (
        [(tmp_path / run / file).read_bytes() for file in files] for run in ("first", "second", "third")
    )
    assert first == second and first[1] != third[1]
    record = json.loads(first[0])
    assert record["sha256"] == hashlib.sha256(first[1]).hexdigest()
    assert record["seed"] == 7 and record["steps"] == 2 and record["parameters"] > 100_000
    for scores in record["held_out_overlap"].values():
        assert set(scores) == {*CLASSES, "mean"}
