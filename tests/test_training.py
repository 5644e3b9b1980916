"""One training step against its formulas, and the loop's schedule, average, seeds and warnings."""

import copy

import pytest
import torch
from lightning_fabric import Fabric

from gcl.contrast.feature_contrasts import GraphContrast
from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.errors import UserError
from gcl.images.batches import Augmentation, UnpairedImages
from gcl.images.decoding import list_images
from gcl.networks.encoders import load_encoder
from gcl.networks.generator import Generator
from gcl.networks.patch_discriminator import Discriminator
from gcl.training.gan_losses import LEAST_SQUARES
from gcl.training.loop import train
from gcl.training.trainer import Trainer

LAYERS = ("relu2_2", "relu3_2")


def make_trainer(config, weight=1.0, identity_term=True):
    torch.manual_seed(0)
    encoder = load_encoder("small", LAYERS)
    # All 256 and 64 positions are nodes, so that a repeated call sees the same graph, in another order.
    loss = GraphContrastiveLoss(encoder.channels, patches=256, embedding=8, threshold=0.5)
    generator = Generator(channels=4, blocks=1, resampling="resize")
    fabric = Fabric(accelerator="cpu")
    return Trainer(fabric, generator, Discriminator(4, 2), GraphContrast(encoder, loss), weight, identity_term, config)


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1


def parameters(trainer):
    return {
        (name, key): value.detach().clone()
        for name, network in trainer.networks.items()
        for key, value in network.named_parameters()
    }


def test_losses_of_a_step_are_their_formulas(config, images):
    trainer = make_trainer(config())
    generator, discriminator, contrast = (
        copy.deepcopy(trainer.networks[name].module) for name in ("generator", "discriminator", "contrast")
    )
    a, b = images
    losses = trainer.step(a, b)

    y, identity = generator(a), generator(b)
    expected = LEAST_SQUARES.discriminator(discriminator(y), discriminator(b))
    assert losses["discriminator"].item() == pytest.approx(expected.item(), abs=1e-5)
    # The generator meets the discriminator as it is after its update, and the graphs of both domains.
    after = trainer.networks["discriminator"].module
    assert losses["generator_gan"].item() == pytest.approx(LEAST_SQUARES.generator(after(y)).item(), abs=1e-4)
    both = 0.5 * (contrast(a, y)[0] + contrast(b, identity)[0])
    assert losses["contrast"].item() == pytest.approx(both.item(), abs=1e-3)


def test_the_identity_loss_is_added_with_its_weight(config, images):
    """The generator's update equals one Adam step on the sum of both losses."""
    settings = config(identity_weight=3.0)
    trainer = make_trainer(settings, weight=0.0)
    alone = copy.deepcopy(trainer.networks["generator"].module)
    optimizer = torch.optim.Adam(alone.parameters(), lr=settings.generator_lr, betas=settings.betas)
    a, b = images

    losses = trainer.step(a, b)

    difference = (alone(b) - b).abs().mean()
    assert losses["identity"].item() == pytest.approx(difference.item(), abs=1e-5)
    after = trainer.networks["discriminator"].module
    (LEAST_SQUARES.generator(after(alone(a))) + 3.0 * difference).backward()
    optimizer.step()
    updated = trainer.networks["generator"].module.state_dict()
    for name in (name for name in updated if name.endswith("weight")):
        torch.testing.assert_close(updated[name], alone.state_dict()[name], atol=2e-6, rtol=0)


def test_discriminator_learns_from_its_own_loss_only(config, images):
    """Its update equals one Adam step on the discriminator loss alone: nothing leaks from the generator's."""
    settings = config()
    trainer = make_trainer(settings)
    generator = copy.deepcopy(trainer.networks["generator"].module)
    alone = copy.deepcopy(trainer.networks["discriminator"].module)
    optimizer = torch.optim.Adam(alone.parameters(), lr=settings.discriminator_lr, betas=settings.betas)
    a, b = images
    LEAST_SQUARES.discriminator(alone(generator(a).detach()), alone(b)).backward()
    optimizer.step()

    trainer.step(a, b)

    # Biases are left out: before an instance normalisation their gradient is rounding noise, which Adam enlarges.
    updated = trainer.networks["discriminator"].module.state_dict()
    for name in (name for name in updated if name.endswith("weight")):
        torch.testing.assert_close(updated[name], alone.state_dict()[name], atol=1e-5, rtol=0)


def test_only_what_should_collects_gradients(config, images):
    trainer = make_trainer(config())
    a, b = (image.requires_grad_() for image in images)
    trainer.step(a, b)
    contrast = trainer.networks["contrast"].module
    assert all(parameter.grad is None for parameter in contrast.encoder.parameters())
    assert all(parameter.grad is not None for parameter in contrast.loss.parameters())
    assert all(parameter.requires_grad for parameter in trainer.networks["discriminator"].parameters())
    encoded = contrast.encoder(a)
    loss, _ = contrast.loss(encoded, [features.detach().requires_grad_() for features in encoded])
    assert torch.autograd.grad(loss, a, allow_unused=True) == (None,)


def test_every_network_moves(config, images):
    trainer = make_trainer(config())
    before = parameters(trainer)
    trainer.step(*images)
    moved = {name for (name, key), value in parameters(trainer).items() if not torch.equal(value, before[name, key])}
    assert moved == {"generator", "discriminator", "contrast"}


def test_without_weight_or_identity_term(config, images):
    losses = make_trainer(config(), weight=0.0).step(*images)
    assert set(losses) == {"discriminator", "generator_gan"}
    trainer = make_trainer(config(), identity_term=False)
    generator, contrast = (copy.deepcopy(trainer.networks[name].module) for name in ("generator", "contrast"))
    losses = trainer.step(*images)
    a, _ = images
    assert losses["contrast"].item() == pytest.approx(contrast(a, generator(a))[0].item(), abs=1e-3)


def test_learning_rates_stay_and_then_fall_linearly_to_zero(config, images):
    trainer = make_trainer(config(constant_share=0.5))
    rates = []
    for _ in range(10):
        rates.append(trainer.optimizers["generator"].param_groups[0]["lr"])
        trainer.step(*images)
    rates.append(trainer.optimizers["generator"].param_groups[0]["lr"])
    full = trainer.optimizers["generator"].param_groups[0]["initial_lr"]
    expected = [1.0] * 6 + [0.8, 0.6, 0.4, 0.2, 0.0]
    assert [rate / full for rate in rates] == pytest.approx(expected)


def test_the_average_follows_the_weights_exponentially(config, images):
    trainer = make_trainer(config(average_decay=0.9))
    generator, expected = trainer.networks["generator"].module, None
    for _ in range(4):
        trainer.step(*images)
        weights = torch.cat([parameter.detach().flatten() for parameter in generator.parameters()])
        expected = weights if expected is None else 0.9 * expected + 0.1 * weights
    averaged = torch.cat([parameter.flatten() for parameter in trainer.translator.parameters()])
    torch.testing.assert_close(averaged, expected)
    without = make_trainer(config())
    assert without.translator is without.networks["generator"].module


def test_the_loop_logs_means_and_repeats_itself(config, tmp_path, save_images):
    save_images(tmp_path / "A", 4, size=(32, 32))
    settings = config(steps=12, discriminator_lr=0.02)
    files = list_images(tmp_path / "A")
    pairs = UnpairedImages((files, files), 12, seed=0, augmentation=Augmentation(32, 32, flip=True))

    def run():
        trainer = make_trainer(settings)
        return list(train(trainer, pairs, settings)), parameters(trainer)

    records, weights = run()
    again, same = run()
    assert [record.step for record in records if record.losses] == [5, 10, 12]
    assert records == again
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    trainer = make_trainer(settings)
    single = [trainer.step(a.unsqueeze(0), b.unsqueeze(0)) for a, b in list(pairs)[:5]]
    mean = sum(losses["contrast"].item() for losses in single) / 5
    assert records[4].losses["contrast"] == pytest.approx(mean, rel=1e-5)


def test_saturation_is_the_mean_discriminator_loss_below_a_hundredth(config, tmp_path, save_images):
    save_images(tmp_path / "A", 2, size=(32, 32))
    files = list_images(tmp_path / "A")
    settings = config(steps=5)
    pairs = UnpairedImages((files, files), 5, seed=0, augmentation=Augmentation(32, 32, flip=False))
    trainer = make_trainer(settings)
    real_step = trainer.step

    def with_discriminator_loss(value):
        trainer.step = lambda a, b: real_step(a, b) | {"discriminator": torch.tensor(value)}
        return list(train(trainer, pairs, settings))[-1].saturated

    assert with_discriminator_loss(0.009)
    assert not with_discriminator_loss(0.011)


def test_a_diverged_loss_stops_the_loop(config, tmp_path, save_images):
    save_images(tmp_path / "A", 2, size=(32, 32))
    files = list_images(tmp_path / "A")
    # A state is saved after step 3, the curves are written at step 5.
    settings = config(steps=10, log_every=5, save_every=3)
    pairs = UnpairedImages((files, files), 10, seed=0, augmentation=Augmentation(32, 32, flip=False))
    trainer = make_trainer(settings)
    records = train(trainer, pairs, settings)
    assert next(records).step == 1
    with torch.no_grad():
        next(trainer.networks["generator"].parameters()).fill_(float("nan"))
    assert not trainer.diverged
    assert next(records).step == 2
    assert trainer.diverged
    with pytest.raises(
        UserError, match=r"step 2: the training diverged \(discriminator nan.*image_\d.png, .*image_\d.png; lower"
    ):
        next(records)
