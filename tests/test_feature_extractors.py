"""Published networks: weights come from a local file or torch's cache, or else a message names the ways out."""

import time
import urllib.error
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import lpips
import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch_fidelity import KEY_METRIC_FID
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from gcl.config import EvaluateConfig
from gcl.errors import UserError
from gcl.images.decoding import save_png
from gcl.images.pixels import to_signed
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.features.lite2_network import DIMENSIONS, Lite2, Lite2Vectors, lite2_distance, lite2_features
from gcl.measures.features.published_extractors import (
    alexnet_distance,
    find_alexnet_weights,
    find_inception_weights,
    inception_features,
)
from gcl.measures.pair_distances import lpips_distances, structure_distances
from gcl.measures.set_distances import frechet_and_kernel
from gcl.networks.efficientnet_lite import whole_lite
from gcl.networks.published_weights import WeightsUnavailable


@pytest.fixture
def pixels() -> Tensor:
    """Two sets of three images, (2, 3, 3, 64, 64) uint8."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 3, 3, 64, 64), dtype=torch.uint8, generator=generator)


@pytest.fixture
def folders(tmp_path, pixels) -> list[Path]:
    """The two sets as PNGs."""
    folders = [tmp_path / "images", tmp_path / "reference"]
    for folder, images in zip(folders, pixels, strict=True):
        folder.mkdir()
        for index, image in enumerate(images):
            save_png(image.permute(1, 2, 0).numpy(), folder / f"{index}.png")
    return folders


@pytest.fixture
def no_network(monkeypatch, tmp_path) -> Path:
    """An empty torch home and no way to download; returns where torch would keep published weights."""

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def inception(tmp_path_factory) -> Path:
    """Random weights for torch-fidelity's Inception-v3, scaled so that its features do not vanish."""
    module = "torch_fidelity.feature_extractor_inceptionv3"
    with pytest.MonkeyPatch.context() as patch:
        # It cannot be built without weights.
        patch.setattr(f"{module}.load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight).mul_(1.2)
    file = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), file)
    return file


def test_inception_features_are_those_of_the_local_file(monkeypatch, no_network, folders, pixels, inception):
    means = []

    def keep(first: dict, second: dict, verbose: bool) -> dict[str, float]:
        means.extend((first["mu"], second["mu"]))
        return {KEY_METRIC_FID: 12.5}

    # 75 pixels instead of 299, and no eigenvalues of 2048 x 2048 matrices: those would take a minute.
    monkeypatch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)
    monkeypatch.setattr("torch_fidelity.metrics.fid_statistics_to_metric", keep)
    frechet, kernel = frechet_and_kernel(*folders, inception_features(inception), 2, 0, "cpu")
    network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=inception)
    for mean, images in zip(means, pixels, strict=True):
        assert mean == pytest.approx(network(images)[0].mean(dim=0).numpy(), rel=1e-3, abs=1e-4)
        assert mean.mean() > 0.1
    assert frechet.value == 12.5
    assert "inception-v3-compat" in kernel.features and "2048 dimensions" in kernel.features
    assert "biased, since 3 samples" in frechet.note


def test_alexnet_distance_is_the_package_s_own(tmp_path, monkeypatch, no_network, folders, pixels):
    alexnet = SimpleNamespace(features=torchvision.models.AlexNet().features)
    file = tmp_path / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in alexnet.features.state_dict().items()}, file)
    ours = lpips_distances(*folders, alexnet_distance(file), "cpu")
    monkeypatch.setattr("lpips.pretrained_networks.tv.alexnet", lambda pretrained: alexnet)
    with torch.no_grad():
        theirs = lpips.LPIPS(net="alex", verbose=False)(*(pixels / 255), normalize=True)
    assert list(ours.per_image) == ["0", "1", "2"]
    assert list(ours.per_image.values()) == pytest.approx(theirs.flatten().tolist(), rel=1e-4)
    assert np.ptp(theirs.numpy()) > 1e-4
    assert "AlexNet" in ours.features
    structure = structure_distances(*folders, alexnet_distance(file), "cpu")
    assert structure.value > 0 and "AlexNet" in structure.features


def test_lite2_enlarges_small_images_and_averages_its_last_features(no_network, folders, pixels):
    enlarged = nn.functional.interpolate(pixels.flatten(0, 1).float(), (224, 224), mode="bilinear", antialias=True)
    # (6, 3, 224, 224) in [0, 255], scaled as the weights were trained with.
    expected = whole_lite(2).forward_features((enlarged - 127) / 128).mean(dim=(2, 3))
    found = Lite2Vectors().pooled(to_signed(pixels.flatten(0, 1)))
    assert found.shape == (6, DIMENSIONS) and torch.allclose(found, expected, atol=1e-4)
    frechet, kernel = frechet_and_kernel(*folders, lite2_features(), 2, 0, "cpu")
    difference = expected[:3].mean(dim=0) - expected[3:].mean(dim=0)
    assert frechet.value >= difference.square().sum().item() * 0.999
    assert "1280 dimensions" in kernel.features and "at least 224 pixels" in kernel.features
    assert "3 samples are fewer than the 1280" in frechet.note and "KID" in frechet.note


def test_lite2_distance_is_unweighted_over_its_stages(no_network, folders, pixels):
    ours = lpips_distances(*folders, lite2_distance(), "cpu")
    layers = [Lite2()(to_signed(images)) for images in pixels]
    expected = torch.zeros(3)
    for first, second in zip(*layers, strict=True):
        unit = [nn.functional.normalize(maps, dim=1, eps=1e-10) for maps in (first, second)]
        expected += (unit[0] - unit[1]).square().sum(dim=1).mean(dim=(1, 2))
    assert list(ours.per_image.values()) == pytest.approx(expected.tolist(), rel=1e-3)
    assert "unweighted" in ours.features
    assert set(structure_distances(folders[0], folders[0], lite2_distance(), "cpu").per_image.values()) == {0}


@pytest.mark.parametrize("name", ["efficientnet_lite2", "inception"])
def test_features_of_imagenet_carry_the_caution(name):
    assert "flatter" in FEATURE_SETS[name].scope and "flatter" not in FEATURE_SETS["small"].scope


def test_weights_in_torch_s_cache_need_no_network(no_network, inception):
    no_network.mkdir(parents=True)
    cached = no_network / Path(URL_INCEPTION_V3).name
    cached.symlink_to(inception)
    assert find_inception_weights(None) == cached


def test_missing_weights_end_at_once_with_the_ways_out(no_network):
    start = time.monotonic()
    with pytest.raises(WeightsUnavailable) as inception_error:
        inception_features(None)
    with pytest.raises(WeightsUnavailable) as alexnet_error:
        alexnet_distance(None)
    assert time.monotonic() - start < 5
    for error, setting in (
        (inception_error, "evaluate.inception_weights"),
        (alexnet_error, "evaluate.alexnet_weights"),
    ):
        message = str(error.value)
        assert setting in message and "evaluate.features to small" in message and "https://" in message
        assert "no network" in message and error.value.__suppress_context__


def test_a_setting_that_names_no_file_is_named(tmp_path):
    with pytest.raises(WeightsUnavailable, match=r"evaluate\.inception_weights = .*gone\.pth"):
        find_inception_weights(tmp_path / "gone.pth")


def test_files_of_other_networks_are_refused(tmp_path):
    # The shapes of torchvision's Inception-v3, not torch-fidelity's, and of its VGG16.
    torch.save({"fc.weight": torch.empty(1000, 2048)}, tmp_path / "torchvision.pth")
    torch.save({"features.0.weight": torch.empty(64, 3, 3, 3)}, tmp_path / "vgg.pth")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(UserError, match="does not hold torch-fidelity's Inception-v3"):
        find_inception_weights(tmp_path / "torchvision.pth")
    with pytest.raises(UserError, match="does not hold torchvision's AlexNet"):
        find_alexnet_weights(tmp_path / "vgg.pth")
    with pytest.raises(UserError, match="not a readable file of weights"):
        find_inception_weights(tmp_path / "page.pth")


def test_the_parameter_knows_every_set_of_features_and_no_other():
    assert get_args(EvaluateConfig.model_fields["features"].annotation) == tuple(FEATURE_SETS)
