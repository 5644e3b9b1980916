"""The projected discriminator, its loss, its gradient penalty and the augmentation of what it sees."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from gcl.networks.generator import Generator
from gcl.networks.projected_discriminator import ProjectedDiscriminator
from gcl.training.augmentation import CHANGES, Augmented
from gcl.training.gan_losses import HINGE, Penalised
from gcl.training.trainer import Trainer


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(8)


def images(seed: int = 1, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_score_for_every_scale_and_position(discriminator) -> None:
    scores = discriminator(images())
    assert scores.shape == (2, 3, 24, 24)  # of 64 pixels enlarged to 96
    # The coarsest map has 6 x 6 positions, each repeated 4 x 4 times.
    assert torch.equal(scores[:, 2], scores[:, 2, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_only_the_heads_learn(discriminator) -> None:
    learned = {name.split(".")[0] for name, weight in discriminator.named_parameters() if weight.requires_grad}
    assert learned == {"heads"}


def make_trainer(network: nn.Module, config, precision: str = "32-true", **changes: float) -> Trainer:
    """A training of the discriminator ``network`` with its gradient penalty, and without contrast."""
    generator, fabric = Generator(4, 1, resampling="resize"), Fabric(accelerator="cpu", precision=precision)
    return Trainer(fabric, generator, network, nn.Identity(), 0.0, False, config(**changes), gan=HINGE, r1=1.0)


def test_a_step_changes_heads_only_and_leaves_the_rest_frozen(config) -> None:
    torch.manual_seed(0)
    network = ProjectedDiscriminator(8)
    trainer = make_trainer(network, config)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    losses = trainer.step(images(1), images(2))
    assert {"discriminator", "generator_gan", "r1"} == losses.keys()
    for name, weight in network.named_parameters():
        assert weight.requires_grad == name.startswith("heads")
        assert torch.equal(before[name], weight) != name.startswith("heads"), name


def test_losses_in_bfloat16_are_those_in_float32_but_for_its_digits(config) -> None:
    # Adam makes much of small gradients, so at the usual rate the two trainings soon differ.
    runs, slowly = {}, {"generator_lr": 1e-6, "discriminator_lr": 1e-6}
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        trainer = make_trainer(Augmented(ProjectedDiscriminator(8), list(CHANGES)), config, precision, **slowly)
        runs[precision] = [trainer.step(images(2 * step), images(2 * step + 1)) for step in range(3)]
    for exact, rounded in zip(*runs.values(), strict=True):
        for name, loss in exact.items():
            assert rounded[name].item() == pytest.approx(loss.item(), rel=0.1, abs=0.1), name


def test_hinge_is_its_formula() -> None:
    fake, real = torch.tensor([[-2.0, 0.5]]), torch.tensor([[0.0, 3.0]])
    assert HINGE.discriminator(fake, real).item() == pytest.approx((0 + 1.5) / 2 + (1 + 0) / 2)
    assert HINGE.generator(fake).item() == pytest.approx(0.75)


def test_gradient_penalty_of_a_linear_score_is_its_squared_slope() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 1))
    x = torch.randn(6, 3, 4, 4)
    scores, penalty = Penalised(linear)(x, slice(1, None, 2))
    assert torch.equal(scores, linear(x)) and torch.equal(scores, Penalised(linear)(x))
    assert penalty.item() == pytest.approx(linear[1].weight.square().sum().item())


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
