"""LPIPS, structure, PSNR and SSIM against their formulas."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gcl.errors import UserError
from gcl.images.decoding import save_png
from gcl.images.pixels import to_signed
from gcl.measures.features.judge_network import judge_distance, load_judge
from gcl.measures.pair_distances import (
    lpips_distances,
    peak_signal_to_noise,
    structural_similarity,
    structure_distances,
    structure_to_next,
)
from gcl.measures.self_similarity import self_similarity_difference
from tests.noise import stacked, write_noise


def test_small_perceptual_distance_is_the_formula(tmp_path):
    pair = [write_noise(tmp_path / name, 5, seed) for seed, name in enumerate("ab")]
    measurement = lpips_distances(*pair, judge_distance(), "cpu")
    layers = [load_judge()(to_signed(stacked(folder))) for folder in pair]
    expected = torch.zeros(5)
    for ours, theirs in zip(*layers, strict=True):
        unit = [layer / layer.norm(dim=1, keepdim=True).clamp_min(1e-10) for layer in (ours, theirs)]
        expected += (unit[0] - unit[1]).square().sum(dim=1).mean(dim=(1, 2))
    assert list(measurement.per_image) == ["000", "001", "002", "003", "004"]
    assert list(measurement.per_image.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert measurement.value == pytest.approx(expected.mean().item(), abs=1e-6)
    assert "judge" in measurement.features


def test_identical_images_are_at_no_perceptual_distance(tmp_path):
    folder = write_noise(tmp_path / "same", 2, seed=0)
    assert lpips_distances(folder, folder, judge_distance(), "cpu").per_image == {"000": 0, "001": 0}


def self_similarity(features: np.ndarray) -> np.ndarray:
    """The cosine similarities between all positions of a map (C, H, W), (HW, HW)."""
    columns = features.reshape(len(features), -1)
    unit = columns / np.linalg.norm(columns, axis=0).clip(1e-12)
    return unit.T @ unit


def test_self_similarities_are_compared_position_by_position():
    """Positions alike in one map and orthogonal in the other differ by 1, twice among four pairs of positions."""
    alike, apart = torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]]), torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])  # (2, 1, 2)
    assert self_similarity_difference(alike, apart) == pytest.approx(0.5)
    first, second = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 3, 4)))
    second[:, 1, 2] = 0
    expected = np.square(self_similarity(first.numpy()) - self_similarity(second.numpy())).mean()
    assert self_similarity_difference(first, second) == pytest.approx(expected)


def test_neither_the_scale_of_features_nor_their_rotation_is_structure():
    features = torch.rand(3, 4, 4, dtype=torch.float64)
    assert self_similarity_difference(features, 5 * features.flip(0)) < 1e-12


def test_structure_is_that_of_the_judge_s_last_map(tmp_path):
    first, second = write_noise(tmp_path / "a", 3, seed=0), write_noise(tmp_path / "b", 3, seed=1)
    measurement = structure_distances(first, second, judge_distance(), "cpu")
    maps = [load_judge()(to_signed(stacked(folder)))[-1].numpy() for folder in (first, second)]
    expected = [np.square(self_similarity(a) - self_similarity(b)).mean() for a, b in zip(*maps, strict=True)]
    assert list(measurement.per_image.values()) == pytest.approx(expected, rel=1e-4)
    assert measurement.value == pytest.approx(np.mean(expected), rel=1e-4)
    assert structure_distances(first, first, judge_distance(), "cpu").per_image == {"000": 0, "001": 0, "002": 0}
    assert "last map" in measurement.features


def test_the_structure_of_another_image_is_that_of_the_next_one(tmp_path):
    folder, others = write_noise(tmp_path / "a", 3, seed=0), tmp_path / "others"
    others.mkdir()
    for index in range(3):
        (others / f"{index:03}.png").symlink_to(folder / f"{(index + 1) % 3:03}.png")
    expected = structure_distances(folder, others, judge_distance(), "cpu")
    assert structure_to_next(folder, judge_distance(), "cpu").per_image == expected.per_image
    save_png(np.zeros((40, 50, 3), np.uint8), folder / "larger.png")
    assert structure_to_next(folder, judge_distance(), "cpu").images == 4


def test_signal_to_noise_of_a_constant_offset(tmp_path):
    for name, value in (("truth", 100), ("images", 110)):
        (tmp_path / name).mkdir()
        save_png(np.full((16, 16, 3), value, np.uint8), tmp_path / name / "one.png")
    save_png(np.full((16, 16, 3), 7, np.uint8), tmp_path / "truth" / "same.png")
    save_png(np.full((16, 16, 3), 7, np.uint8), tmp_path / "images" / "same.png")
    measurement = peak_signal_to_noise(tmp_path / "images", tmp_path / "truth")
    expected = 20 * np.log10(255 / 10)
    assert measurement.per_image == {"one": pytest.approx(expected), "same": 100}
    assert measurement.value == pytest.approx((expected + 100) / 2)
    json.dumps(dataclasses.asdict(measurement), allow_nan=False)


def test_structural_similarity_is_one_on_the_same_images_only(tmp_path):
    first, second = write_noise(tmp_path / "a", 5, seed=0), write_noise(tmp_path / "b", 5, seed=1)
    assert structural_similarity(first, first).value == pytest.approx(1)
    assert structural_similarity(first, second).value < 0.9


def test_structural_similarity_of_flat_images_is_the_luminance_term(tmp_path):
    for name, value in (("truth", 100), ("images", 140)):
        (tmp_path / name).mkdir()
        save_png(np.full((16, 16, 3), value, np.uint8), tmp_path / name / "one.png")
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 140 + constant) / (100**2 + 140**2 + constant)
    measurement = structural_similarity(tmp_path / "images", tmp_path / "truth")
    assert measurement.value == pytest.approx(expected)


@pytest.mark.parametrize(("lone", "lacking"), [("a", "b"), ("b", "a")])
def test_an_image_without_its_pair_is_named(tmp_path, lone, lacking):
    first, second = write_noise(tmp_path / "a", 2, seed=0), write_noise(tmp_path / "b", 2, seed=1)
    save_png(np.zeros((32, 32, 3), np.uint8), tmp_path / lone / "lonely.png")
    with pytest.raises(UserError, match=f"{lacking} has no lonely.png"):
        peak_signal_to_noise(first, second)


def test_pairs_of_different_sizes_and_empty_folders_are_named(tmp_path):
    first, second = (
        write_noise(tmp_path / "a", 1, seed=0),
        write_noise(tmp_path / "b", 1, seed=1, size=(32, 40)),
    )
    with pytest.raises(UserError, match=r"000\.png has .*32, 32.*000\.png .*32, 40"):
        structural_similarity(first, second)
    with pytest.raises(UserError, match="empty holds 0 PNG"):
        structural_similarity(first, write_noise(tmp_path / "empty", 0, seed=0))
