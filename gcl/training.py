"""The training step and loop: everything that changes while a model is trained, and nothing about files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gcl.config import TrainConfig
from gcl.data import UnpairedImages, batches
from gcl.errors import UserError
from gcl.losses import GraphContrastiveLoss, discriminator_loss, generator_loss

SATURATED = 0.01
"""A discriminator loss below this, averaged between two log lines, no longer teaches the generator."""


class GraphContrast(nn.Module):
    """What the generator is held to beside the GAN: the graph loss on a frozen encoder's features."""

    def __init__(self, encoder: nn.Module, loss: GraphContrastiveLoss):
        super().__init__()
        self.encoder, self.loss = encoder, loss

    def forward(self, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, 3, H, W) in [-1, 1] and their translations: the loss, and numbers to log."""
        with torch.no_grad():
            input_features = self.encoder(inputs)
        loss, graphs = self.loss(input_features, self.encoder(outputs))
        return loss, {"graph_density": torch.stack([graph.density for graph in graphs]).mean()}


@dataclass
class Record:
    """What one step reports: ``losses`` are means since the last record, None between two log lines."""

    step: int
    losses: dict[str, float] | None
    saturated: bool = False


class Trainer:
    """Generator, discriminator and contrast with their optimisers, on the device and precision of ``fabric``.

    Args:
        fabric: decides device, precision and processes.
        generator, discriminator: the two networks.
        contrast: (inputs, outputs) -> (loss, numbers to log); its trainable layers learn with the generator's rate.
        weight: lambda, the contrast's weight beside the GAN loss; 0 leaves it out.
        identity_term: whether the contrast also compares b with G(b).
        config: learning rates, schedule and average.
    """

    def __init__(
        self,
        fabric: Fabric,
        generator: nn.Module,
        discriminator: nn.Module,
        contrast: nn.Module,
        weight: float,
        identity_term: bool,
        config: TrainConfig,
    ):
        self.fabric, self.contrast, self.weight, self.identity_term = fabric, contrast, weight, identity_term
        rates = {"generator": config.generator_lr, "discriminator": config.discriminator_lr}
        networks = {"generator": generator, "discriminator": discriminator}
        if weight > 0:
            networks["contrast"], rates["contrast"] = contrast, config.generator_lr
        if config.channels_last:
            for network in networks.values():
                network.to(memory_format=torch.channels_last)
        optimizers = {name: _adam(network, rates[name], config.betas) for name, network in networks.items()}
        prepared = {name: fabric.setup(networks[name], optimizers[name]) for name in networks}
        self.networks = {name: network for name, (network, _) in prepared.items()}
        self.optimizers = {name: optimizer for name, (_, optimizer) in prepared.items()}
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, _constant_then_linear(config))
            for optimizer in optimizers.values()
        ]
        self.average = _average(generator, config.average_decay)

    @property
    def translator(self) -> nn.Module:
        """The generator to translate with: its moving average where one is kept."""
        return self.average.module if self.average is not None else self.networks["generator"].module

    def step(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """One update of everything from images (B, 3, H, W) of both domains; the losses stay on the device."""
        y, identity = self._translate(a, b)
        losses = self._update_discriminator(y.detach(), b)
        losses |= self._update_generator(a, b, y, identity)
        for schedule in self.schedules:
            schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.networks["generator"].module)
        return losses

    def _translate(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor | None]:
        generator = self.networks["generator"]
        if self.identity_term and self.weight > 0:
            y, identity = generator(torch.cat([a, b])).split([len(a), len(b)])
            return y, identity
        return generator(a), None

    def _update_discriminator(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        discriminator, optimizer = self.networks["discriminator"], self.optimizers["discriminator"]
        scores = discriminator(torch.cat([fake, real]))
        loss = discriminator_loss(*scores.split([len(fake), len(real)]))
        optimizer.zero_grad()
        self.fabric.backward(loss)
        optimizer.step()
        return {"discriminator": loss.detach()}

    def _update_generator(self, a: Tensor, b: Tensor, y: Tensor, identity: Tensor | None) -> dict[str, Tensor]:
        discriminator = self.networks["discriminator"].requires_grad_(False)
        adversarial = generator_loss(discriminator(y))
        discriminator.requires_grad_(True)
        losses, total = {"generator_gan": adversarial.detach()}, adversarial
        if self.weight > 0:
            inputs, outputs = (a, y) if identity is None else (torch.cat([a, b]), torch.cat([y, identity]))
            contrast, numbers = self.networks["contrast"](inputs, outputs)
            total = total + self.weight * contrast
            losses |= {"contrast": contrast.detach(), **numbers}
        learners = [self.optimizers[name] for name in ("generator", "contrast") if name in self.optimizers]
        for optimizer in learners:
            optimizer.zero_grad()
        self.fabric.backward(total)
        for optimizer in learners:
            optimizer.step()
        return losses


def train(trainer: Trainer, pairs: UnpairedImages, config: TrainConfig) -> Iterator[Record]:
    """Runs ``config.steps`` steps, one :class:`Record` each; the caller may look at the trainer in between.

    UserError when a loss is no longer finite, seen at the next record with losses.
    """
    loader = trainer.fabric.setup_dataloaders(batches(pairs, config.batch_size, config.workers))
    window: list[dict[str, Tensor]] = []
    for step, (a, b) in enumerate(loader, start=1):
        window.append(trainer.step(a, b))
        if step % config.log_every and step != config.steps:
            yield Record(step, losses=None)
            continue
        losses = _means(window)
        window.clear()
        if not all(map(math.isfinite, losses.values())):
            shown = ", ".join(f"{name} {value}" for name, value in losses.items())
            raise UserError(f"step {step}: training diverged ({shown}); lower the learning rates or graph.weight")
        yield Record(step, losses, saturated=losses["discriminator"] < SATURATED)


def _means(window: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of every loss, in one transfer from the device."""
    names = list(window[0])
    table = torch.stack([torch.stack([losses[name].float() for name in names]) for losses in window])
    return dict(zip(names, table.mean(dim=0).tolist(), strict=True))


def _adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trained, lr=rate, betas=betas, fused=True)


def _constant_then_linear(config: TrainConfig):
    """The factor on the learning rate by step: 1 for ``constant_share`` of the steps, then linearly to 0."""
    constant = round(config.steps * config.constant_share)
    decaying = max(config.steps - constant, 1)
    return lambda step: min(1.0, (config.steps - step) / decaying)


def _average(generator: nn.Module, decay: float) -> AveragedModel | None:
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay > 0 else None
