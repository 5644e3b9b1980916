"""The procedural textures and the pretraining of the bundled networks on them."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Generator

from gcl.networks.architectures import JUDGE, SMALL
from gcl.networks.vgg import Encoder
from gcl.pretraining.encoder_and_judge import TASKS, Classifier, Muon, _loss, _right_answers, fold, pretrain
from gcl.pretraining.textures import SHAPES, SURFACE, TEXTURES, UNDEFINED, draw_batch


def test_batch_has_images_and_every_class_of_every_label() -> None:
    images, labels = draw_batch(512, Generator().manual_seed(0))
    assert images.shape == (512, 3, 64, 64) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1
    assert images.flatten(1).std(1).min() > 0.02
    classes = {"shape": len(SHAPES), "inside": 2}
    for place in ("foreground", "background"):
        classes |= {f"{place}_{name}": count for name, count in SURFACE.items()}
    assert labels.keys() == classes.keys()
    for name, label in labels.items():
        assert label.shape == ((512, 64, 64) if name == "inside" else (512,)) and label.dtype == torch.int64
        assert set(label.unique().tolist()) - {UNDEFINED} == set(range(classes[name]))


def test_batches_follow_the_generator_alone() -> None:
    first, first_labels = draw_batch(8, Generator().manual_seed(4))
    torch.manual_seed(11)
    second, second_labels = draw_batch(8, Generator().manual_seed(4))
    other, _ = draw_batch(8, Generator().manual_seed(5))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert all(torch.equal(label, second_labels[name]) for name, label in first_labels.items())


def test_only_directed_textures_have_an_orientation_and_only_repeating_ones_a_scale() -> None:
    _, labels = draw_batch(512, Generator().manual_seed(1))
    names = list(TEXTURES)
    for place in ("foreground", "background"):
        for kind, orientation, scale in zip(
            *(labels[f"{place}_{name}"].tolist() for name in ("texture", "orientation", "scale")), strict=True
        ):
            assert (orientation != UNDEFINED) == (names[kind] in ("stripes", "zigzag"))
            assert (scale != UNDEFINED) == (names[kind] not in ("plain", "gradient"))


def test_every_shape_has_an_inside_and_an_outside() -> None:
    steps = torch.linspace(-1.3, 1.3, 53)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    areas = {name: (outline(x, y) < 0).float().mean().item() for name, outline in SHAPES.items()}
    assert all(0.1 < area < 0.6 for area in areas.values()), areas
    assert len(set(areas.values())) == len(areas)


def test_folded_network_computes_the_same() -> None:
    torch.manual_seed(0)
    classifier = Classifier(JUDGE)
    for layer in classifier.trunk.values():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.normal_(layer.bias)
    images, _ = draw_batch(4, Generator().manual_seed(2))
    classifier(images)
    classifier.eval()
    unfolded = images
    for layer in classifier.trunk.values():
        unfolded = layer(unfolded)
    folded = fold(classifier.trunk)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded)
    torch.testing.assert_close(folded(images), unfolded, rtol=1e-4, atol=1e-4)


def test_a_batch_without_any_orientation_has_a_finite_loss() -> None:
    classifier = Classifier(SMALL)
    images, labels = draw_batch(4, Generator().manual_seed(2))
    labels["foreground_orientation"] = labels["background_orientation"] = torch.full((4,), UNDEFINED)
    assert torch.isfinite(_loss(classifier(images), labels))


def test_positions_are_asked_about_the_surface_they_lie_on() -> None:
    _, labels = draw_batch(16, Generator().manual_seed(3))
    inside = _right_answers("inside", labels, 16) == 1
    for task in SURFACE:
        right = _right_answers(task, labels, 16)
        for image in range(16):
            assert (right[image][inside[image]] == labels[f"foreground_{task}"][image]).all()
            assert (right[image][~inside[image]] == labels[f"background_{task}"][image]).all()
    shape = _right_answers("shape", labels, 16)
    assert (shape[~inside] == UNDEFINED).all() and (shape[inside] != UNDEFINED).all()


def test_orientation_label_is_the_direction_across_the_stripes() -> None:
    images, labels = draw_batch(600, Generator().manual_seed(6))
    striped = labels["background_texture"] == list(TEXTURES).index("stripes")
    grey = images[striped].mean(1)
    right, down = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2], grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    around = labels["inside"][striped][:, 1:-1, 1:-1] == 0
    squares, products = ((right**2 - down**2) * around).sum((1, 2)), (2 * right * down * around).sum((1, 2))
    turns = (torch.atan2(products, squares) / 2 / torch.pi) % 1
    assert ((turns * 8).long() == labels["background_orientation"][striped]).float().mean() > 0.8


def test_muon_moves_all_directions_of_a_filter_bank_alike() -> None:
    torch.manual_seed(0)
    filters = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    start = filters.detach() * 8**0.5 / filters.detach().norm()
    filters.grad = torch.randn(8, 1, 1, 1) * torch.randn(1, 4, 3, 3) + 0.1 * torch.randn(8, 4, 3, 3)
    before = torch.linalg.svdvals(filters.grad.flatten(1))
    Muon([filters], 1.0).step()
    moved = torch.linalg.svdvals((start - filters.detach()).flatten(1))
    assert before[0] / before[-1] > 20 and moved[0] / moved[-1] < 3


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcl.pretraining.encoder_and_judge.HELD_OUT_BATCHES", 2)
    monkeypatch.setattr("gcl.pretraining.encoder_and_judge.BATCH", 4)


def test_pretraining_is_deterministic_and_seeded(tmp_path: Path, small_batches: None) -> None:
    before = torch.random.get_rng_state()
    record = pretrain("judge", tmp_path / "first", steps=2, seed=7)
    torch.manual_seed(123)
    pretrain("judge", tmp_path / "second", steps=2, seed=7)
    other = pretrain("judge", tmp_path / "third", steps=2, seed=8)
    torch.random.set_rng_state(before)
    for name in ("judge.safetensors", "judge.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert other["sha256"] != record["sha256"]


def test_pretraining_writes_weights_that_the_encoder_loads(tmp_path: Path, small_batches: None) -> None:
    record = pretrain("encoder", tmp_path, steps=2)
    path = tmp_path / "encoder.safetensors"
    plan = SMALL
    Encoder(plan, plan.block_ends()).load(path)
    assert {file.name for file in tmp_path.iterdir()} == {"encoder.safetensors", "encoder.json"}
    written = json.loads((tmp_path / "encoder.json").read_text())
    assert written["sha256"] == record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written["parameters"] == sum(value.numel() for value in load_file(path).values())
    assert set(written["held_out_accuracy"]) == {"relu2_2", "relu3_2"}
    assert all(set(accuracies) == set(TASKS) for accuracies in written["held_out_accuracy"].values())
