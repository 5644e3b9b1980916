"""PatchNCE against closed forms and cross-entropy, and the training step that runs it instead of the graph loss."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from gcl.contrast.feature_contrasts import PatchContrast
from gcl.contrast.patch_nce import PatchNCE, patch_nce
from gcl.errors import UserError
from gcl.networks.generator import Generator
from gcl.networks.patch_discriminator import Discriminator
from gcl.training.trainer import Trainer
from pipeline.params import parse_params

LAYERS = [0, 4, 7, 10]
CHANNELS = [3, 8, 16, 16]


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_orthogonal_patches_that_match(temperature):
    """q_i k_i = 1 and q_i k_j = 0: log(exp(1/t) + N - 1) - 1/t."""
    patches = torch.eye(16).expand(2, 16, 16)
    expected = math.log(math.exp(1 / temperature) + 15) - 1 / temperature
    assert patch_nce(patches, patches, temperature).item() == pytest.approx(expected, abs=1e-6)


def test_patches_that_are_all_alike_cannot_be_told_apart():
    alike = F.normalize(torch.ones(2, 16, 8), dim=-1)
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(math.log(16), abs=1e-5)


def test_only_outputs_ask_and_only_patches_of_their_image_answer():
    torch.manual_seed(0)
    outputs, inputs = (F.normalize(torch.randn(3, 10, 8), dim=-1) for _ in range(2))
    expected = torch.stack(
        [
            F.cross_entropy(queries @ keys.T / 0.07, torch.arange(10))
            for queries, keys in zip(outputs, inputs, strict=True)
        ]
    ).mean()
    assert patch_nce(outputs, inputs, 0.07).item() == pytest.approx(expected.item(), rel=1e-6)
    assert patch_nce(inputs, outputs, 0.07).item() != pytest.approx(expected.item(), rel=1e-3)


def test_the_loss_is_the_mean_over_layers_of_projected_patches():
    torch.manual_seed(0)
    loss = PatchNCE([3, 5], embedding=7)
    inputs, outputs = ([torch.randn(2, 3, 6, 6), torch.randn(2, 5, 4, 4)] for _ in range(2))
    ids = [torch.tensor([[0, 7, 35], [1, 2, 3]]), torch.tensor([[4, 9, 15], [0, 1, 2]])]
    expected = []
    for head, own, other, places in zip(loss.heads, inputs, outputs, ids, strict=True):
        for image in range(2):
            keys, queries = (
                F.normalize(head[2](head[0](features[image].flatten(1)[:, places[image]].T).relu()), dim=1)
                for features in (own, other)
            )
            expected.append(F.cross_entropy(queries @ keys.T / 0.07, torch.arange(3)))
    assert loss(inputs, outputs, ids).item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def test_nothing_learns_through_the_inputs():
    loss = PatchNCE([4], embedding=8)
    inputs, outputs = (torch.randn(1, 4, 5, 5, requires_grad=True) for _ in range(2))
    loss([inputs], [outputs]).backward()
    assert inputs.grad is None and outputs.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_more_patches_than_positions_are_all_positions():
    torch.manual_seed(0)
    loss = PatchNCE([4], patches=99, embedding=8)
    features = [torch.randn(1, 4, 5, 5)]
    assert loss(features, features).item() == pytest.approx(
        loss(features, features, [torch.arange(25).unsqueeze(0)]).item(), rel=1e-5
    )


def test_the_heads_start_as_published():
    torch.manual_seed(0)
    head = PatchNCE([64], embedding=256).heads[0]
    assert head[2].weight.std().item() == pytest.approx(0.02 * math.sqrt(2 / (256 + 256)), rel=0.02)
    assert head[0].bias.abs().sum() == 0 and [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Linear"]


def test_the_generator_gives_its_features_and_runs_no_further():
    generator = Generator(channels=4, blocks=2, resampling="resize").eval()
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    # Layer 2 is a normalisation, whose output the activation that follows would overwrite.
    features = generator.encode(images, [0, 2, 4, 10])
    assert [tuple(feature.shape) for feature in features] == [
        (2, 3, 22, 22),
        (2, 4, 16, 16),
        (2, 8, 8, 8),
        (2, 16, 4, 4),
    ]
    for layer, feature in zip([0, 2, 4, 10], features, strict=True):
        assert torch.equal(feature, generator.model[: layer + 1](images))
    with pytest.raises(UserError, match="this generator has no layer 99, only 0 to"):
        generator.encode(images, [0, 99])


def test_published_layers_are_the_published_generators_features():
    """The padded RGB, both downsampling convolutions, the first and the fifth residual block (CUT's nce_layers)."""
    with torch.device("meta"):
        model = Generator().model
    names = [type(model[layer]).__name__ for layer in (0, 4, 8, 12, 16)]
    assert names == ["ReflectionPad2d", "Conv2d", "Conv2d", "ResidualBlock", "ResidualBlock"]
    assert [model[layer].out_channels for layer in (4, 8)] == [128, 256]


@pytest.fixture
def trainer(settings):
    settings["train"] |= {"steps": 10, "load_size": 32, "crop_size": 32, "average_decay": 0.0}
    config = parse_params(settings, "params.yaml").train
    torch.manual_seed(0)
    generator = Generator(channels=4, blocks=1, resampling="resize")
    contrast = PatchContrast(partial(generator.encode, layers=LAYERS), PatchNCE(CHANNELS, 64, 16))
    return Trainer(Fabric(accelerator="cpu"), generator, Discriminator(4, 2), contrast, 1.0, True, config)


def test_the_training_step_runs_it_and_learns_each_parameter_once(trainer):
    optimised = [
        parameter
        for optimizer in trainer.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert len({id(parameter) for parameter in optimised}) == len(optimised)
    assert len(trainer.optimizers["contrast"].param_groups[0]["params"]) == 4 * len(LAYERS)
    before = [parameter.detach().clone() for parameter in optimised]
    losses = trainer.step(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
    assert set(losses) == {"discriminator", "generator_gan", "contrast"}
    # Biases before an instance normalisation have no effect and get no gradient worth the name.
    moved = [not torch.equal(old, new) for old, new in zip(before, optimised, strict=True)]
    assert sum(moved) > 0.9 * len(moved)


def test_the_generator_learns_as_translator_and_as_encoder(trainer):
    generator, contrast = trainer.networks["generator"].module, trainer.contrast
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    contrast(images, generator(images).detach())[0].backward()
    as_encoder = generator.model[4].weight.grad.clone()
    assert as_encoder.abs().sum() > 0 and generator.model[-2].weight.grad is None
    generator.zero_grad()
    contrast(images, generator(images))[0].backward()
    assert generator.model[-2].weight.grad.abs().sum() > 0
