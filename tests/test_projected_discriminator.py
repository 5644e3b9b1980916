"""The projected discriminator, its loss, its gradient penalty and the augmentation of what it sees."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from gcl.networks.generator import Generator
from gcl.networks.projected_discriminator import ProjectedDiscriminator
from gcl.training.augmentation import CHANGES, Augmented
from gcl.training.gan_losses import HINGE, gradient_penalty
from gcl.training.trainer import Trainer


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(8)


def images(seed: int = 1, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_score_for_every_scale_and_position(discriminator) -> None:
    scores = discriminator(images())
    assert scores.shape == (2, 3, 16, 16)
    # The coarsest map has 4 x 4 positions, each repeated 4 x 4 times.
    assert torch.equal(scores[:, 2], scores[:, 2, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_only_the_heads_learn(discriminator) -> None:
    learned = {name.split(".")[0] for name, weight in discriminator.named_parameters() if weight.requires_grad}
    assert learned == {"heads"}


def test_a_step_changes_heads_only_and_leaves_the_rest_frozen(config) -> None:
    torch.manual_seed(0)
    network, generator = ProjectedDiscriminator(8), Generator(4, 1, resampling="resize")
    trainer = Trainer(
        Fabric(accelerator="cpu"), generator, network, nn.Identity(), 0.0, False, config(), gan=HINGE, r1=1.0
    )
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    losses = trainer.step(images(1), images(2))
    assert {"discriminator", "generator_gan", "r1"} == losses.keys()
    for name, weight in network.named_parameters():
        assert weight.requires_grad == name.startswith("heads")
        assert torch.equal(before[name], weight) != name.startswith("heads"), name


def test_hinge_is_its_formula() -> None:
    fake, real = torch.tensor([[-2.0, 0.5]]), torch.tensor([[0.0, 3.0]])
    assert HINGE.discriminator(fake, real).item() == pytest.approx((0 + 1.5) / 2 + (1 + 0) / 2)
    assert HINGE.generator(fake).item() == pytest.approx(0.75)


def test_gradient_penalty_of_a_linear_score_is_its_squared_slope() -> None:
    slope = torch.randn(3 * 4 * 4)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    assert gradient_penalty(x.flatten(1) @ slope[:, None], x).item() == pytest.approx(slope.square().sum().item())


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_drawn_anew_for_every_image_and_pass_gradients(change: str) -> None:
    torch.manual_seed(0)
    same = images(count=1).expand(2, -1, -1, -1).clone().requires_grad_()
    changed = CHANGES[change](same)
    assert changed.shape == same.shape and not torch.equal(changed[0], changed[1])
    changed.square().sum().backward()
    assert same.grad.abs().sum() > 0


def test_augmentation_repeats_with_the_seed() -> None:
    augmented = Augmented(nn.Identity(), list(CHANGES))
    runs = []
    for _ in range(2):
        torch.manual_seed(4)
        runs.append(augmented(images()))
    assert torch.equal(*runs)


def test_translation_of_a_ramp_is_a_shift() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    inside = CHANGES["translation"](ramp)[0, 0, 16:48, 16:48]
    shift = inside - ramp[0, 0, 16:48, 16:48]
    torch.testing.assert_close(shift, shift.flatten()[0].expand_as(shift), atol=1e-5, rtol=0)
    assert 0 < shift.abs().max() <= 2 / 8 + 1e-4
