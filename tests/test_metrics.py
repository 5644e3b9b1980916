"""Every number against its formula or the library called directly, on small folders of drawn noise."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, calculate_metrics

from gcl.errors import UserError
from gcl.images.decoding import save_png
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures import metrics
from gcl.measures.feature_extractors import JUDGE
from gcl.measures.judge import load_judge
from gcl.measures.overlap import intersection_over_union, mean_over_present


def write_noise(folder: Path, count: int, seed: int, size: tuple = (32, 32), top: int = 255) -> Path:
    """``count`` PNGs of (height, width) ``size``: a colour each, with noise, none brighter than ``top``."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    for index in range(count):
        colour, noise = random.uniform(0, 0.7, 3), random.uniform(0, 0.3, (*size, 3))
        save_png(((colour + noise) * top).astype(np.uint8), folder / f"{index:03}.png")
    return folder


def stacked(folder: Path) -> torch.Tensor:
    return torch.stack([to_tensor(file) for file in sorted(folder.glob("*.png"))])


def small(first: Path, second: Path, seed: int = 3) -> tuple[metrics.Measurement, metrics.Measurement]:
    return metrics.frechet_and_kernel(first, second, "small", None, batch_size=16, seed=seed, device="cpu")


def straight_from_torch_fidelity(first: Path, second: Path, subset_size: int, **settings: object) -> dict:
    return calculate_metrics(
        input1=str(first),
        input2=str(second),
        fid=True,
        kid=True,
        kid_subset_size=subset_size,
        feature_extractor=JUDGE,
        rng_seed=3,
        batch_size=16,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **settings,
    )


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The unbiased squared MMD with the kernel (x.y / dimensions + 1)^3, all samples at once."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: np.ndarray) -> float:
        return (kernel(x, x).sum() - kernel(x, x).trace()) / (len(x) * (len(x) - 1))

    return within(ours) + within(theirs) - 2 * kernel(ours, theirs).mean()


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Two sets of 80 images, more than the judge has dimensions; the second one is darker."""
    root = tmp_path_factory.mktemp("sets")
    return write_noise(root / "images", 80, seed=0), write_noise(root / "reference", 80, seed=1, top=200)


@pytest.fixture(scope="module")
def pooled(folders) -> list[np.ndarray]:
    """The judge's vectors of either set, (80, 64) float64."""
    judge = load_judge()
    with torch.no_grad():
        return [judge.pooled(to_signed(stacked(folder))).double().numpy() for folder in folders]


def test_frechet_and_kernel_distance_are_torch_fidelity_s(folders):
    frechet, kernel = small(*folders)
    expected = straight_from_torch_fidelity(*folders, subset_size=80)
    assert frechet.value == pytest.approx(expected[KEY_METRIC_FID], rel=1e-6)
    assert kernel.value == pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=1e-6)


def test_frechet_distance_is_the_closed_form(folders, pooled):
    means = [vectors.mean(axis=0) for vectors in pooled]
    first, second = (np.cov(vectors, rowvar=False) for vectors in pooled)
    # The eigenvalues of the symmetric form stand firm where a dimension never varies.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root).clip(min=0)
    spread = np.trace(first + second) - 2 * np.sqrt(product).sum()
    assert small(*folders)[0].value == pytest.approx(np.sum((means[0] - means[1]) ** 2) + spread, rel=1e-3)


def test_kernel_distance_over_whole_sets_is_the_closed_form(folders, pooled):
    assert small(*folders)[1].value == pytest.approx(kernel_distance(*pooled), rel=1e-3)


def test_a_set_is_at_no_distance_from_itself(folders):
    frechet, kernel = small(folders[0], folders[0])
    assert abs(frechet.value) < 1e-4 < small(*folders)[0].value
    assert kernel.value <= 0


def test_small_numbers_say_what_they_are(folders):
    frechet, kernel = small(*folders)
    assert (frechet.name, kernel.name) == ("fid_small", "kid_small")
    for measurement in (frechet, kernel):
        assert "judge" in measurement.features and "64 dimensions" in measurement.features
        assert measurement.library.startswith("torch-fidelity 0.")
        assert (measurement.images, measurement.reference, measurement.resize) == (80, 80, None)
        json.dumps(dataclasses.asdict(measurement), allow_nan=False)
    assert (frechet.subset_size, kernel.subset_size, frechet.note) == (None, 80, None)


def test_fewer_samples_than_dimensions_are_noted_and_the_subset_fits(tmp_path):
    first, second = write_noise(tmp_path / "a", 12, seed=0), write_noise(tmp_path / "b", 9, seed=1)
    frechet, kernel = small(first, second)
    assert kernel.subset_size == 9 and kernel.note is None
    assert "biased" in frechet.note and "9 samples" in frechet.note and "KID" in frechet.note


def test_the_seed_chooses_the_subsets(tmp_path):
    first, second = write_noise(tmp_path / "a", 12, seed=0), write_noise(tmp_path / "b", 5, seed=1)
    assert small(first, second, seed=1)[1].value == small(first, second, seed=1)[1].value
    assert small(first, second, seed=1)[1].value != small(first, second, seed=2)[1].value


def test_neither_order_of_writing_nor_links_nor_other_files_matter(tmp_path):
    first, second = write_noise(tmp_path / "a", 12, seed=0), write_noise(tmp_path / "b", 5, seed=1)
    linked, stored = tmp_path / "linked", tmp_path / "stored"
    linked.mkdir(), stored.mkdir()
    for index, file in enumerate(sorted(first.iterdir(), reverse=True)):
        target = stored / f"{index:03}.png"
        target.write_bytes(file.read_bytes())
        (linked / file.name).symlink_to(target)
    for name in (".000.png.partial", ".000.png", "000.txt", "000.jpg"):
        (linked / name).write_bytes(b"no image")
    assert [m.value for m in small(linked, second)] == [m.value for m in small(first, second)]


def test_images_of_several_sizes_become_squares_of_the_smallest_side(tmp_path):
    first = write_noise(tmp_path / "a", 6, seed=0, size=(40, 48))
    second = write_noise(tmp_path / "b", 6, seed=1, size=(64, 36))
    frechet, kernel = small(first, second)
    expected = straight_from_torch_fidelity(first, second, subset_size=6, samples_resize_and_crop=36)
    assert frechet.resize == kernel.resize == 36
    assert frechet.value == pytest.approx(expected[KEY_METRIC_FID], rel=1e-5)
    assert kernel.value == pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=1e-5)


def test_images_of_one_oblong_size_stay_as_they_are(tmp_path):
    first = write_noise(tmp_path / "a", 4, seed=0, size=(40, 48))
    second = write_noise(tmp_path / "b", 4, seed=1, size=(40, 48))
    assert small(first, second)[0].resize is None


def test_one_image_is_no_set(tmp_path):
    first, second = write_noise(tmp_path / "many", 3, seed=0), write_noise(tmp_path / "single", 1, seed=1)
    with pytest.raises(UserError, match="single holds 1 PNG"):
        small(first, second)


def test_small_perceptual_distance_is_the_formula(tmp_path):
    pair = [write_noise(tmp_path / name, 5, seed) for seed, name in enumerate("ab")]
    measurement = metrics.lpips_distances(*pair, "small", None, "cpu")
    layers = [load_judge()(to_signed(stacked(folder))) for folder in pair]
    expected = torch.zeros(5)
    for ours, theirs in zip(*layers, strict=True):
        unit = [layer / layer.norm(dim=1, keepdim=True).clamp_min(1e-10) for layer in (ours, theirs)]
        expected += (unit[0] - unit[1]).square().sum(dim=1).mean(dim=(1, 2))
    assert list(measurement.per_image) == ["000", "001", "002", "003", "004"]
    assert list(measurement.per_image.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert measurement.value == pytest.approx(expected.mean().item(), abs=1e-6)
    assert measurement.name == "lpips_small" and "judge" in measurement.features


def test_identical_images_are_at_no_perceptual_distance(tmp_path):
    folder = write_noise(tmp_path / "same", 2, seed=0)
    assert metrics.lpips_distances(folder, folder, "small", None, "cpu").per_image == {"000": 0, "001": 0}


def test_signal_to_noise_of_a_constant_offset(tmp_path):
    for name, value in (("truth", 100), ("images", 110)):
        (tmp_path / name).mkdir()
        save_png(np.full((16, 16, 3), value, np.uint8), tmp_path / name / "one.png")
    save_png(np.full((16, 16, 3), 7, np.uint8), tmp_path / "truth" / "same.png")
    save_png(np.full((16, 16, 3), 7, np.uint8), tmp_path / "images" / "same.png")
    measurement = metrics.peak_signal_to_noise(tmp_path / "images", tmp_path / "truth")
    expected = 20 * np.log10(255 / 10)
    assert measurement.per_image == {"one": pytest.approx(expected), "same": 100}
    assert measurement.value == pytest.approx((expected + 100) / 2)
    json.dumps(dataclasses.asdict(measurement), allow_nan=False)


def test_structural_similarity_is_one_on_the_same_images_only(folders):
    assert metrics.structural_similarity(folders[0], folders[0]).value == pytest.approx(1)
    assert metrics.structural_similarity(*folders).value < 0.9


def test_structural_similarity_of_flat_images_is_the_luminance_term(tmp_path):
    for name, value in (("truth", 100), ("images", 140)):
        (tmp_path / name).mkdir()
        save_png(np.full((16, 16, 3), value, np.uint8), tmp_path / name / "one.png")
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 140 + constant) / (100**2 + 140**2 + constant)
    measurement = metrics.structural_similarity(tmp_path / "images", tmp_path / "truth")
    assert measurement.value == pytest.approx(expected)


@pytest.mark.parametrize(("lone", "lacking"), [("a", "b"), ("b", "a")])
def test_an_image_without_its_pair_is_named(tmp_path, lone, lacking):
    first, second = write_noise(tmp_path / "a", 2, seed=0), write_noise(tmp_path / "b", 2, seed=1)
    save_png(np.zeros((32, 32, 3), np.uint8), tmp_path / lone / "lonely.png")
    with pytest.raises(UserError, match=f"{lacking} has no lonely.png"):
        metrics.peak_signal_to_noise(first, second)


def test_pairs_of_different_sizes_and_empty_folders_are_named(tmp_path):
    first, second = (
        write_noise(tmp_path / "a", 1, seed=0),
        write_noise(tmp_path / "b", 1, seed=1, size=(32, 40)),
    )
    with pytest.raises(UserError, match=r"000\.png has .*32, 32.*000\.png .*32, 40"):
        metrics.structural_similarity(first, second)
    with pytest.raises(UserError, match="empty holds 0 PNG"):
        metrics.structural_similarity(first, write_noise(tmp_path / "empty", 0, seed=0))


def test_intersection_over_union_sums_over_the_set_before_it_divides():
    truth = [np.array([[0, 0], [1, 1]], np.uint8), np.array([[1, 1], [1, 1]], np.uint8)]
    predicted = [np.array([[0, 1], [1, 1]], np.uint8), np.array([[1, 1], [1, 3]], np.uint8)]
    values = intersection_over_union(predicted, truth, classes=4)
    # Class 0: 1 of 2 pixels; class 1: 2 + 3 of 3 + 4; class 2 is nowhere; class 3 is only predicted.
    assert values == [1 / 2, 5 / 7, None, 0]
    assert mean_over_present(values) == pytest.approx((1 / 2 + 5 / 7) / 3)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([np.zeros((2, 2), int)], [np.zeros((2, 3), int)], "shape"),
        ([np.zeros((2, 2), int)], [np.full((2, 2), 255)], "true classes are 255"),
        ([np.full((2, 2), -1)], [np.zeros((2, 2), int)], "predicted classes are -1"),
        ([np.zeros((2, 2), int)], [], "argument 2 is shorter"),
        ([], [], "empty"),
    ],
)
def test_classes_that_cannot_be_compared_are_refused(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        intersection_over_union(predicted, truth, classes=3)
