"""The frozen feature networks: what they compute and refuse, and what the bundled weights are worth."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.models import VGG, vgg16

from gcl.measures.features.judge_network import WEIGHTS, load_judge
from gcl.networks.architectures import SMALL, EncoderError
from gcl.networks.encoders import BUNDLED, load_encoder
from gcl.networks.published_weights import WeightsUnavailable
from gcl.networks.vgg import Encoder
from gcl.pretraining.encoder_and_judge import NETWORK_PLANS, TASKS
from gcl.pretraining.textures import SURFACE, draw_batch

FILES = {"encoder": BUNDLED, "judge": WEIGHTS}
SMALL_LAYERS = ["relu2_2", "relu3_1", "relu3_2"]


@pytest.fixture(scope="module")
def published() -> VGG:
    """A VGG16 with random weights whose classifier has none."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = vgg16(weights=None)
    network.features.to_empty(device="cpu")
    for parameter in network.features.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture(scope="module")
def vgg_file(published: VGG, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    state = {f"features.{key}": value for key, value in published.features.state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def images(count: int = 2, size: int = 32) -> Tensor:
    return 2 * torch.rand(count, 3, size, size, generator=Generator().manual_seed(5)) - 1


def test_vgg16_equals_torchvision(published: VGG, vgg_file: Path) -> None:
    encoder = load_encoder("vgg16", ["relu1_2", "relu3_1", "relu4_3"], vgg_file)
    batch = images()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    scaled = ((batch + 1) / 2 - mean) / deviation
    # In torchvision relu1_2, relu3_1 and relu4_3 are features.3, .11 and .22, and a slice ends one later.
    for found, end in zip(encoder(batch), (4, 12, 23), strict=True):
        torch.testing.assert_close(found, published.features[:end](scaled), rtol=1e-5, atol=1e-5)
    assert encoder.channels == [64, 256, 512]
    assert len(encoder.features) == 23


def test_vgg16_reads_safetensors_that_end_at_the_last_layer(published: VGG, tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in published.features[:4].state_dict().items()}
    save_file(state, tmp_path / "lower.safetensors")
    lower = load_encoder("vgg16", ["relu1_2"], tmp_path / "lower.safetensors")
    torch.testing.assert_close(lower.state_dict(), state)
    with pytest.raises(ValueError, match=r"features\.5\.weight is missing"):
        load_encoder("vgg16", ["relu2_1"], tmp_path / "lower.safetensors")


def test_layers_come_in_the_order_asked_for() -> None:
    upwards = load_encoder("small", ["relu1_2", "relu2_2", "relu3_1"])
    downwards = load_encoder("small", ["relu3_1", "relu2_2", "relu1_2"])
    for first, second in zip(upwards(images()), reversed(downwards(images())), strict=True):
        assert torch.equal(first, second)
    assert downwards.channels == [features.shape[1] for features in downwards(images())]
    assert [features.shape[-1] for features in downwards(images())] == [8, 16, 32]


def test_returned_features_are_not_overwritten_by_later_layers() -> None:
    shallow = load_encoder("small", ["relu1_1"])(images())[0]
    beside_deep = load_encoder("small", ["relu1_1", "relu3_2"])(images())[0]
    assert torch.equal(shallow, beside_deep)
    assert shallow.min() == 0


def test_gradients_reach_the_images_but_no_parameter() -> None:
    encoder = load_encoder("small", SMALL_LAYERS)
    batch = images().requires_grad_()
    sum(features.sum() for features in encoder(batch)).backward()
    assert batch.grad is not None and batch.grad.abs().sum() > 0
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in encoder.parameters())


def test_stays_in_evaluation_mode() -> None:
    parent = torch.nn.ModuleList([load_encoder("small", SMALL_LAYERS)]).train()
    assert parent.training and not any(part.training for part in parent[0].modules())


@pytest.mark.parametrize("name", ["relu4_1", "relu1_3", "conv1_1"])
def test_unknown_layer_is_named_with_those_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=f"no layer {name}; choose from relu1_1, relu1_2, relu2_1,"):
        load_encoder("small", ["relu1_1", name])


def test_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="no encoder layer"):
        load_encoder("small", [])


def test_file_of_another_network_is_refused(vgg_file: Path) -> None:
    with pytest.raises(ValueError, match=r"features\.0\.weight has shape \(64, 3, 3, 3\) instead of \(16,"):
        load_encoder("small", ["relu1_1"], vgg_file)
    with pytest.raises(ValueError, match=r"features\.0\.weight has shape \(16, 3, 3, 3\) instead of \(64,"):
        load_encoder("vgg16", ["relu1_1"], BUNDLED)


def test_unexpected_key_is_refused(published: VGG, tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in published.features[:4].state_dict().items()}
    torch.save(state | {"features.1.running_mean": torch.zeros(64)}, tmp_path / "normalised.pth")
    with pytest.raises(ValueError, match=r"features\.1\.running_mean is unexpected"):
        load_encoder("vgg16", ["relu1_2"], tmp_path / "normalised.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_unreadable_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"page.{suffix}"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="not a readable file"):
        load_encoder("small", ["relu1_1"], path)


def test_wrapped_state_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="not a state dict"):
        load_encoder("small", ["relu1_1"], tmp_path / "checkpoint.pth")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"encoder\.weights = .*absent\.pth: no such file"):
        load_encoder("vgg16", ["relu1_1"], tmp_path / "absent.pth")


def test_offline_vgg16_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise socket.gaierror("name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(WeightsUnavailable) as caught:
        load_encoder("vgg16", ["relu1_1"])
    cached = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    for part in (str(cached), "set encoder.weights", "encoder.name to small"):
        assert part in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert socket.getdefaulttimeout() is None


def test_hub_cache_is_used(vgg_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    cached = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(vgg_file)
    expected = load_encoder("vgg16", ["relu2_1"], vgg_file)
    torch.testing.assert_close(load_encoder("vgg16", ["relu2_1"]).state_dict(), expected.state_dict())


def test_judge_gives_every_block_and_a_vector() -> None:
    judge = load_judge()
    blocks = judge(images(3, 64))
    assert [tuple(block.shape) for block in blocks] == [
        (3, 16, 64, 64),
        (3, 32, 32, 32),
        (3, 64, 16, 16),
        (3, 64, 8, 8),
    ]
    pooled = judge.pooled(images(3, 64))
    assert pooled.shape == (3, 64)
    torch.testing.assert_close(pooled[1], blocks[-1][1].flatten(1).mean(1))


@pytest.mark.parametrize("network", ["encoder", "judge"])
def test_bundled_file_is_the_one_described(network: str) -> None:
    path = FILES[network]
    record = json.loads(path.with_suffix(".json").read_text())
    plan = NETWORK_PLANS[network]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record["sha256"]
    assert (record["widths"], record["convolutions"]) == (list(plan.widths), list(plan.convolutions))
    assert path.stat().st_size <= 1_000_000
    deepest = list(record["held_out_accuracy"].values())[-1]
    assert deepest["inside"] > 0.85
    assert all(deepest[task] > 2 / classes for task, classes in TASKS.items() if task != "inside")


@pytest.mark.parametrize("network", ["encoder", "judge"])
def test_bundled_features_are_of_about_unit_scale(network: str) -> None:
    plan = NETWORK_PLANS[network]
    batch, _ = draw_batch(32, Generator().manual_seed(77))
    for features in Encoder(plan, plan.block_ends()).load(FILES[network])(batch):
        assert 0.3 < features.square().mean().sqrt() < 3


def test_linear_probe_beats_random_weights_and_chance() -> None:
    plan = SMALL
    torch.manual_seed(3)
    trained = load_encoder("small", plan.block_ends())
    untrained = Encoder(plan, plan.block_ends())
    accuracy, without_training = _probe(trained), _probe(untrained)
    assert accuracy > 3 / SURFACE["texture"]
    assert accuracy > without_training + 0.1


def _probe(encoder: Encoder) -> float:
    """How often a ridge regression on averaged features names the right background for images that it never saw."""
    drawn, labels = draw_batch(600, Generator().manual_seed(99))
    features = torch.cat([_averages(encoder, batch) for batch in drawn.split(100)])
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    features = torch.cat([features, torch.ones(600, 1)], dim=1)
    texture = labels["background_texture"]
    targets = functional.one_hot(texture, SURFACE["texture"]).float()
    fitted, held_out = slice(0, 400), slice(400, 600)
    gram = features[fitted].T @ features[fitted] + 10 * torch.eye(features.shape[1])
    weights = torch.linalg.solve(gram, features[fitted].T @ targets[fitted])
    return ((features[held_out] @ weights).argmax(1) == texture[held_out]).float().mean().item()


@torch.no_grad()
def _averages(encoder: Encoder, batch: Tensor) -> Tensor:
    return torch.cat([features.mean(dim=(2, 3)) for features in encoder(batch)], dim=1)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = load_encoder("small", ["relu3_2"]).state_dict()
    state["features.0.bias"][0] = float("nan")
    torch.save(state, tmp_path / "encoder.pth")
    with pytest.raises(EncoderError, match=r"encoder\.pth: values that are not finite in features\.0\.bias"):
        load_encoder("small", ["relu3_2"], tmp_path / "encoder.pth")
