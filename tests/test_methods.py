"""The table of methods: every row can be trained, and everything that depends on methods asks the table."""

import re
from functools import partial

import pytest
import torch
from lightning_fabric import Fabric
from ruamel.yaml import YAML

from gcl.contrast.feature_contrasts import PatchContrast
from gcl.contrast.methods import METHODS, method_of, own_section, read_by_training
from gcl.contrast.patch_nce import PatchNCE
from gcl.networks.generator import Generator
from gcl.training.from_params import build_trainer
from pipeline.params import parse_params
from pipeline.variant_params import variant_of
from tests.conftest import ROOT

FILE = "params.yaml"


@pytest.fixture
def tiny(settings):
    """The project's parameters with networks that take no time, and with the variants that are commented out."""
    text = (ROOT / FILE).read_text(encoding="utf-8")
    uncommented = re.sub(r"^    # (\w+: \{method: )", r"    \1", text, flags=re.MULTILINE)
    settings["ablate"]["variants"] = YAML(typ="safe").load(uncommented)["ablate"]["variants"]
    settings["generator"] |= {"channels": 4, "blocks": 1}
    for section in ("graph", "cut", "src"):
        settings[section] |= {"patches": 16, "embedding": 8}
    for section in ("cut", "src"):
        settings[section]["layers"] = [0, 4]
    return parse_params(settings, FILE)


def with_method(params, name):
    return params.model_copy(update={"method": name})


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_sections_are_parameters_and_decide_when_dvc_trains(name, tiny):
    train = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]["train"]["params"]
    assert {METHODS[name].section, *METHODS[name].reads} <= {*type(tiny).model_fields} & {*train}
    section = own_section(with_method(tiny, name))
    assert section.weight >= 0 and section.identity_term in (True, False)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_does_not_read_is_no_part_of_its_training(name, tiny):
    read = read_by_training(with_method(tiny, name)).keys()
    others = {section for method in METHODS.values() for section in method.reads} - set(METHODS[name].reads)
    assert set(METHODS[name].reads) <= read and not others & read
    assert {"data", "generator", "discriminator", "train", "evaluate"} <= read


@pytest.mark.parametrize("variant", ["main", "cut", "fastcut", "src"])
def test_every_method_and_variant_in_a_comment_trains(variant, tiny):
    params = tiny if variant == "main" else variant_of(tiny, variant)
    trainer = build_trainer(params, Fabric(accelerator="cpu"))
    learners = [parameter for parameter in trainer.contrast.loss.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in learners]
    for _ in range(3):
        losses = trainer.step(torch.rand(1, 3, 64, 64) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1)
        assert all(loss.isfinite() for loss in losses.values()) and "contrast" in losses
    moved = [not torch.equal(old, new) for old, new in zip(before, learners, strict=True)]
    assert sum(moved) > 0.7 * len(moved)


def test_the_same_seed_gives_networks_the_same_weights_whatever_the_method(tiny):
    states = [
        build_trainer(with_method(tiny, name), Fabric(accelerator="cpu")).networks["generator"].state_dict()
        for name in METHODS
    ]
    for state in states[1:]:
        assert all(torch.equal(value, state[key]) for key, value in states[0].items())


def test_fastcut_is_cut_without_identity_term_but_with_its_weight_and_flips(tiny):
    fast = variant_of(tiny, "fastcut")
    assert (fast.method, fast.cut.identity_term, fast.cut.weight, fast.cut.flip_equivariance) == (
        "cut",
        False,
        10,
        True,
    )
    assert method_of(fast) is METHODS["cut"] and tiny.cut.flip_equivariance is False


def test_flip_equivariance_compares_the_mirrored_input_with_the_mirrored_features_of_the_output():
    """As in CUT's published code: the generator sees the mirrored image, and the query features are mirrored back."""
    torch.manual_seed(0)
    generator = Generator(channels=4, blocks=1, resampling="resize").requires_grad_(False)
    encode = partial(generator.encode, layers=[0, 4])
    # All positions are patches, so that the loss does not depend on which are drawn.
    loss = PatchNCE([3, 8], patches=10_000, embedding=8)
    inputs, outputs = torch.rand(2, 1, 3, 16, 16) * 2 - 1
    straight = loss(encode(inputs), encode(outputs))
    mirrored = loss(encode(inputs.flip(-1)), [maps.flip(-1) for maps in encode(outputs)])
    assert not torch.isclose(straight, mirrored, rtol=1e-3)

    contrast = PatchContrast(encode, loss, flip_equivariance=True)
    found = torch.stack([contrast(inputs, outputs)[0] for _ in range(64)])
    flipped = torch.isclose(found, mirrored, rtol=1e-5)
    assert (flipped | torch.isclose(found, straight, rtol=1e-5)).all()
    assert 16 <= flipped.sum() <= 48

    torch.manual_seed(1)
    before = torch.get_rng_state()
    PatchContrast(encode, lambda *_: torch.zeros(()))(inputs, outputs)
    assert torch.equal(before, torch.get_rng_state())
