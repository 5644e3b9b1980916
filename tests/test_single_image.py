"""Two pictures are a data set: how they are stored, cut up, translated, measured and shown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from scipy.stats import kstest
from skimage.metrics import peak_signal_noise_ratio
from torch.nn.functional import binary_cross_entropy_with_logits

from gcl.checks.findings import findings
from gcl.checks.folder_check import check_folder
from gcl.errors import UserError
from gcl.images.batches import Augmentation, UnpairedImages
from gcl.images.pixels import to_pixels, to_signed, to_tensor
from gcl.images.prepared import Prepared
from gcl.measures import measurement
from gcl.measures.features.judge_network import judge_distance, load_judge
from gcl.measures.pair_distances import lpips_distances, peak_signal_to_noise
from gcl.measures.patch_statistics import single_image_frechet
from gcl.networks.generator import Generator
from gcl.networks.inference import translate_image
from gcl.networks.layers import PositionNorm2d
from gcl.scoring.score import score
from gcl.training.gan_losses import NON_SATURATING
from pipeline.params import parse_params
from pipeline.stages.prepare import prepare
from tests.trainings import Project

SIZES = {"trainA": (90, 70), "trainB": (64, 80)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder with one smooth picture of either domain."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, size in SIZES.items():
        (folder / split).mkdir()
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / split / f"{split}.png")
    return folder


@pytest.fixture
def of_pictures(data_config, pictures):
    def make(**changes):
        return data_config(**{"source": "folder", "path": str(pictures), "image_size": None, **changes})

    return make


# --- the data set --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_both_pictures_are_also_the_test_images(of_pictures, pictures, tmp_path, capsys, direction):
    manifest = prepare(of_pictures(direction=direction, validation_share=0.9), tmp_path / "prepared")
    prepared = Prepared(tmp_path / "prepared")
    assert prepared.manifest == manifest and manifest.single_image and not manifest.validates
    assert manifest.warnings == []
    for domain, source in zip("AB", ("AB" if direction == "AtoB" else "BA"), strict=True):
        original = to_tensor(pictures / f"train{source}" / f"train{source}.png")
        for split in (f"train{domain}", f"test{domain}"):
            (file,) = prepared.images(split)
            assert torch.equal(to_tensor(file), original)
    assert "the single-image case, one picture of each domain" in capsys.readouterr().out


@pytest.mark.parametrize("split, other", [("trainA", "trainB"), ("trainB", "trainA")])
def test_one_picture_beside_several_is_refused_as_before(of_pictures, pictures, tmp_path, split, other):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    for copy in "xyz":
        shutil.copy(folder / split / f"{split}.png", folder / split / f"{copy}.png")
    with pytest.raises(UserError, match=f"{other}: 1 images here, at least 3 needed"):
        prepare(of_pictures(path=str(folder)), tmp_path / "prepared")


# --- zooms ---------------------------------------------------------------------------------------------------------


def test_zooms_are_evenly_distributed_from_the_smallest_size_to_the_pictures_own():
    """In a picture whose values are its columns, the step from column to column of a cut is its zoom."""
    columns = torch.arange(256, dtype=torch.uint8).expand(3, 256, 256)
    augmentation, random = Augmentation(load_size=48, crop_size=32, flip=False, zoom=True), np.random.default_rng(0)
    cuts = [augmentation(columns, random)[0, 0].double() for _ in range(400)]
    sides = [255 / ((cut[-1] - cut[0]) / 31) for cut in cuts]
    share = np.log(np.array(sides) / 48) / np.log(256 / 48)
    assert kstest(share, "uniform").pvalue > 0.01
    assert {cut.shape for cut in cuts} == {(32,)}


def test_a_zoomed_cut_is_what_the_resized_picture_shows(pictures):
    """But for the border, where resizing the whole picture sees pixels that a cut does not."""
    image = to_tensor(pictures / "trainA/trainA.png")
    augmentation = Augmentation(load_size=35, crop_size=32, flip=False, zoom=True)
    found = augmentation(image, np.random.default_rng(1)).float()
    random = np.random.default_rng(1)
    size = 35 * 2 ** random.uniform(0, 1)
    side = round(32 * 70 / size)
    top, left = int(random.integers(70 - side + 1)), int(random.integers(90 - side + 1))
    cut = Image.fromarray(image.permute(1, 2, 0).numpy()).resize(
        (32, 32), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )
    expected = torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1).float()
    assert (found - expected)[:, 2:-2, 2:-2].abs().max() <= 2


def test_an_only_picture_is_decoded_once(pictures, monkeypatch):
    decoded = []
    monkeypatch.setattr("gcl.images.batches.to_tensor", lambda path: decoded.append(path) or to_tensor(path))
    files = tuple([pictures / split / f"{split}.png"] for split in SIZES)
    pairs = UnpairedImages(files, 5, seed=0, augmentation=Augmentation(40, 32, flip=True, zoom=True))
    cuts = [pairs[index] for index in range(5)]
    assert decoded == [file for (file,) in files]
    assert not torch.equal(cuts[0][0], cuts[1][0])


# --- the generator and the losses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_position_norm_is_its_formula(memory_format):
    images = (3 * torch.randn(2, 7, 5, 6, generator=torch.Generator().manual_seed(0)) + 1).to(
        memory_format=memory_format
    )
    centred = images - images.mean(1, keepdim=True)
    expected = centred / (images.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(PositionNorm2d()(images), expected)


@pytest.mark.parametrize("resampling", ["blur", "resize"])
@pytest.mark.parametrize("normalization, same", [("position", True), ("instance", False)])
def test_what_becomes_of_a_place_does_not_depend_on_the_size_of_the_picture(resampling, normalization, same):
    torch.manual_seed(0)
    network = Generator(4, 1, 1, resampling, normalization=normalization).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    whole = torch.rand(1, 3, 64, 96) * 2 - 1
    from_whole = translate_image(network, whole)[..., 16:48, 16:48]
    from_part = translate_image(network, whole[..., :64, :64])[..., 16:48, 16:48]
    assert torch.allclose(from_whole, from_part, atol=1e-5) == same


def test_the_non_saturating_loss_is_cross_entropy():
    fake, real = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    zeros, ones = torch.zeros_like(fake), torch.ones_like(fake)
    expected = binary_cross_entropy_with_logits(fake, zeros) + binary_cross_entropy_with_logits(real, ones)
    torch.testing.assert_close(NON_SATURATING.discriminator(fake, real), expected)
    torch.testing.assert_close(NON_SATURATING.generator(fake), binary_cross_entropy_with_logits(fake, ones))


# --- the metric ----------------------------------------------------------------------------------------------------


def test_the_single_image_fid_is_its_formula(pictures):
    """``|m - n|^2 + tr(C + D - 2 sqrt(C D))`` with the means and covariances of all positions of the first map."""
    folders = [pictures / split for split in SIZES]
    images = [to_signed(to_tensor(folder / f"{folder.name}.png"))[None] for folder in folders]
    with torch.no_grad():
        vectors = [load_judge()(image)[0][0].flatten(1).double().numpy() for image in images]
    (m, n), (c, d) = [each.mean(1) for each in vectors], [np.cov(each) for each in vectors]
    expected = np.square(m - n).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    measured = single_image_frechet(*folders, judge_distance(), "cpu")
    assert measured.value == pytest.approx(expected, rel=1e-4)
    assert (measured.images, measured.reference, measured.per_image, measured.note) == (1, 1, None, None)
    assert single_image_frechet(folders[0], folders[0], judge_distance(), "cpu").value == pytest.approx(0, abs=1e-4)


def test_the_single_image_fid_takes_single_images(pictures, tmp_path):
    folder = shutil.copytree(pictures / "trainA", tmp_path / "several")
    shutil.copy(folder / "trainA.png", folder / "again.png")
    with pytest.raises(UserError, match="several holds 2 PNG images"):
        single_image_frechet(folder, pictures / "trainB", judge_distance(), "cpu")


def test_large_pictures_are_measured_at_a_smaller_size_and_it_is_said(pictures, tmp_path, monkeypatch):
    """As if they had been that small; PSNR, which needs no network, is measured of all pixels."""
    monkeypatch.setattr(measurement, "MOST_PIXELS", 90 * 70 // 4)
    image = to_tensor(pictures / "trainA/trainA.png")
    noisy = to_pixels(to_signed(image) + 0.3 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)))
    folders = {name: tmp_path / name for name in ("noisy", "small", "small_noisy")}
    for folder in folders.values():
        folder.mkdir()
    large = Image.fromarray(noisy.permute(1, 2, 0).numpy())
    large.save(folders["noisy"] / "trainA.png")
    large.resize((45, 35), Image.Resampling.BILINEAR).save(folders["small_noisy"] / "trainA.png")
    original = Image.open(pictures / "trainA/trainA.png")
    original.resize((45, 35), Image.Resampling.BILINEAR).save(folders["small"] / "trainA.png")
    measured = lpips_distances(folders["noisy"], pictures / "trainA", judge_distance(), "cpu")
    expected = lpips_distances(folders["small_noisy"], folders["small"], judge_distance(), "cpu")
    assert measured.value == pytest.approx(expected.value, rel=0.02)
    assert measured.note == "pictures of more than 1,575 pixels were shrunk to that many" and expected.note is None
    of_all = peak_signal_to_noise(folders["noisy"], pictures / "trainA")
    assert of_all.note is None
    assert of_all.value == pytest.approx(peak_signal_noise_ratio(np.asarray(original), np.asarray(large)))


# --- the experiment ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """A project that went through all stages with the two pictures and a tiny model."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        project = Project(tmp_path_factory.mktemp("single") / "project", monkeypatch)
        project.train(
            data={"source": "folder", "path": str(pictures), "image_size": None},
            generator={"channels": 4, "blocks": 1, "normalization": "position"},
            discriminator={"channels": 4, "loss": "non_saturating", "r1": 1.0},
            train={"load_size": 32, "crop_size": 32, "zoom": True, "identity_weight": 1.0, "steps": 4},
        )
        project.pictures = pictures
        for stage in ("translate", "evaluate", "report"):
            project.run(stage)
        yield project


def test_the_picture_keeps_its_size_and_the_metrics_are_those_of_single_pictures(trained):
    with Image.open(trained.folder / "data/translated/trainA.png") as image:
        assert image.size == SIZES["trainA"]
    metrics = json.loads((trained.folder / "reports/metrics.json").read_text())
    assert list(metrics) == ["sifid_small", "lpips_small_to_input", "structure_small_to_input"]
    logged = trained.client.get_run(trained.run_id).data.metrics
    assert logged["sifid_small"] == metrics["sifid_small"]
    assert "untranslated.sifid_small" in logged and "identity" in logged


def test_the_report_shows_the_stages_on_the_way(trained):
    text = (trained.folder / "reports/report.md").read_text()
    assert "figures/stages.png" in text and "`sifid_small`" in text
    grids = sorted((trained.folder / "reports/samples").iterdir())
    assert [grid.name for grid in grids] == ["step_000002.png", "step_000004.png"]
    with Image.open(grids[0]) as grid:
        shown = np.asarray(grid)
    widest = round(90 / 70 * 288)
    assert shown.shape == (288 + 4, 4 * (widest + 2) + 2, 3)
    # A in the first place and B, which is narrower, in the third, padded with white.
    expected = Image.open(next((trained.folder / "data/prepared/testA").iterdir())).resize((widest, 288))
    assert np.abs(shown[2:-2, 2 : 2 + widest].astype(int) - np.asarray(expected)).mean() < 3
    assert (shown[2:-2, 2 * (widest + 2) + 2 + round(64 / 80 * 288) + 1 : 3 * (widest + 2)] == 255).all()


def test_the_model_card_and_the_report_do_not_speak_of_test_images(trained):
    card = Path(trained.client.download_artifacts(trained.run_id, "model/README.md")).read_text()
    assert "On the picture that it was trained on:" in card and "had no part in training" not in card
    assert "from images of 32 pixels up to their own size" in card
    text = (trained.folder / "reports/report.md").read_text()
    assert "one picture of A and one of B, to train and to test on" in text


def test_the_ablation_compares_by_seed_where_there_is_one_picture(trained):
    trained.set(
        data={"source": "folder", "path": str(trained.pictures), "image_size": None},
        generator={"channels": 4, "blocks": 1, "normalization": "position"},
        discriminator={"channels": 4, "loss": "non_saturating", "r1": 1.0},
        train={"load_size": 32, "crop_size": 32, "zoom": True, "identity_weight": 1.0, "steps": 4},
        ablate={"seeds": 2, "variants": {"main": {}, "cut": {"method": "cut"}}},
    )
    for variant in ("main", "cut"):
        trained.run("ablate", variant)
    trained.run("compare")
    page = (trained.folder / "reports/ablation.md").read_text()
    assert "`sifid_small`" in page and "image by image" not in page and "bootstrap" not in page
    with Image.open(trained.folder / "reports/ablation/translations.png") as strip:
        assert strip.size[0] > 1500


@pytest.mark.parametrize("name, told", [("broken.png", "1 file cannot be used"), (None, "the single-image case")])
def test_the_check_says_what_prepare_will_do(pictures, tmp_path, name, told):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    if name:
        (folder / "trainA/trainA.png").write_bytes(b"no image")
    found = [finding.headline for finding in findings(check_folder(folder, lambda items, *_: items))]
    assert any(told in headline for headline in found)
    assert "One picture of each domain" in found[-1]
    assert not any("at least" in headline for headline in found)


def test_two_files_of_which_one_is_broken_are_no_single_image(pictures, tmp_path):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    (folder / "trainA/broken.png").write_bytes(b"no image")
    first = findings(check_folder(folder, lambda items, *_: items))[0]
    assert first.headline == "trainA: 1 usable image, at least 3 needed, 2 of them to hold back for tests."


def test_one_output_and_one_real_picture_are_scored_by_their_patches(pictures, settings):
    config = parse_params(settings, "params.yaml").evaluate
    folders = {"outputs": pictures / "trainA", "real": pictures / "trainB"}
    rows = score(folders, config, "cpu", lambda items, *_: items).rows
    assert [row["name"] for row in rows] == ["sifid_small"]
    expected = single_image_frechet(pictures / "trainA", pictures / "trainB", judge_distance(), "cpu").value
    assert rows[0]["value"] == pytest.approx(expected, rel=1e-4)
