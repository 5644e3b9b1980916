"""FID and KID against their formulas and the library called directly."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, calculate_metrics

from gcl.errors import UserError
from gcl.images.pixels import to_signed
from gcl.measures.features.judge_network import EXTRACTOR, judge_features, load_judge
from gcl.measures.measurement import Measurement
from gcl.measures.set_distances import frechet_and_kernel
from tests.noise import stacked, write_noise


def small(first: Path, second: Path, seed: int = 3) -> tuple[Measurement, Measurement]:
    return frechet_and_kernel(first, second, judge_features(), batch_size=16, seed=seed, device="cpu")


def straight_from_torch_fidelity(first: Path, second: Path, subset_size: int, **settings: object) -> dict:
    return calculate_metrics(
        input1=str(first),
        input2=str(second),
        fid=True,
        kid=True,
        kid_subset_size=subset_size,
        feature_extractor=EXTRACTOR,
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
    """The judge's vectors for each of the two sets, (80, 64) float64."""
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
    # The eigenvalues of the symmetric form stay accurate when a dimension never varies.
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


def test_numbers_say_what_they_were_measured_with(folders):
    frechet, kernel = small(*folders)
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
    told = "images of different sizes were resized and cropped to 36 x 36 pixels, the smallest being b/000.png"
    assert kernel.note == f"{told}; data.image_size gives all images one shorter side"
    assert frechet.note.startswith("biased") and frechet.note.endswith(kernel.note)
    assert frechet.value == pytest.approx(expected[KEY_METRIC_FID], rel=1e-5)
    assert kernel.value == pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=1e-5)


def test_one_image_much_smaller_than_the_others_is_named(tmp_path):
    first, second = write_noise(tmp_path / "a", 4, seed=0, size=(72, 80)), write_noise(tmp_path / "b", 4, seed=1)
    write_noise(tmp_path / "c", 6, seed=2, size=(65, 65))
    features = judge_features()
    _, plain = frechet_and_kernel(first, second, features, 16, 3, "cpu", alike=[])
    _, named = frechet_and_kernel(first, second, features, 16, 3, "cpu", alike=[tmp_path / "c"])
    assert "less than half" not in plain.note
    assert "b/000.png, which is less than half of the median shorter side, 65: leave it out" in named.note


def test_images_of_different_shapes_are_only_cropped(tmp_path):
    first = write_noise(tmp_path / "a", 3, seed=0, size=(32, 48))
    second = write_noise(tmp_path / "b", 3, seed=1, size=(40, 32))
    kernel = small(first, second)[1]
    assert kernel.note == "images of different shapes were cropped to their central 32 x 32 pixels"


def test_images_of_one_oblong_size_stay_as_they_are(tmp_path):
    first = write_noise(tmp_path / "a", 4, seed=0, size=(40, 48))
    second = write_noise(tmp_path / "b", 4, seed=1, size=(40, 48))
    assert small(first, second)[0].resize is None


def test_one_image_is_no_set(tmp_path):
    first, second = write_noise(tmp_path / "many", 3, seed=0), write_noise(tmp_path / "single", 1, seed=1)
    with pytest.raises(UserError, match="single holds 1 PNG"):
        small(first, second)
