"""One training step, and everything that changes during training; nothing here reads or writes files."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gcl.config import TrainConfig
from gcl.training.augmentation import Augmented
from gcl.training.gan_losses import LEAST_SQUARES, GanLoss, Penalised

REAL = slice(1, None, 2)
"""The real images, side by side with translations."""


class Trainer:
    """Generator, discriminator and contrast with their optimisers, on the device and precision of ``fabric``.

    Args:
        fabric: determines device, precision and processes.
        generator, discriminator: the two networks.
        contrast: (inputs, outputs) -> (loss, values to log); its trainable layers have the generator's learning rate.
        weight: lambda, the contrast's weight relative to the GAN loss; 0 leaves the contrast out.
        identity_term: whether the contrast also compares b with G(b).
        config: learning rates, schedule, moving average, and the weight of the difference between b and G(b).
        gan: the loss between generator and discriminator.
        r1: gamma of the discriminator's gradient penalty on real images, which is added gamma / 2 times.
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
        gan: GanLoss = LEAST_SQUARES,
        r1: float = 0.0,
    ):
        self.fabric, self.contrast, self.weight, self.identity_term = fabric, contrast, weight, identity_term
        self.gan, self.r1, self.identity_weight = gan, r1, config.identity_weight
        rates = {"generator": config.generator_lr, "discriminator": config.discriminator_lr}
        networks = {"generator": generator, "discriminator": Penalised(discriminator) if r1 > 0 else discriminator}
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
        self.window: list[dict[str, Tensor]] = []
        """The losses of the steps since the last record with losses."""

    @property
    def diverged(self) -> bool:
        """Whether any loss in the window is not finite; this waits for the device."""
        return not all(torch.stack(list(losses.values())).isfinite().all() for losses in self.window)

    @property
    def translator(self) -> nn.Module:
        """The generator to translate with: its moving average where one is kept."""
        return self.average.module if self.average is not None else self.networks["generator"].module

    @property
    def discriminator(self) -> nn.Module:
        """The discriminator without what training wraps around it."""
        network = self.networks["discriminator"].module
        while isinstance(network, Penalised | Augmented):
            network = network.discriminator
        return network

    @property
    def translates_both(self) -> bool:
        """Whether a step also translates the real images of B."""
        return self.identity_weight > 0 or (self.identity_term and self.weight > 0)

    def state(self) -> dict[str, Any]:
        """Everything that further steps depend on, as dictionaries and lists of tensors and numbers."""
        return {
            "weights": {name: network.state_dict() for name, network in self._learners().items()},
            "average": self.average.state_dict() if self.average is not None else None,
            "moments": {name: optimizer.state_dict()["state"] for name, optimizer in self.optimizers.items()},
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "precision": self.fabric.strategy.precision.state_dict(),
            "window": self.window,
            "random": {"cpu": torch.get_rng_state(), "cuda": self._cuda_random_state()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a :meth:`state`; the next step is then, bit for bit, the one that followed it."""
        for name, network in self._learners().items():
            network.load_state_dict(state["weights"][name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for name, optimizer in self.optimizers.items():
            _load_moments(optimizer.optimizer, state["moments"][name])
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
            # Not the saved rate: with more steps, the rate after the same number of them can be higher.
            factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
            for group, base, factor in zip(schedule.optimizer.param_groups, schedule.base_lrs, factors, strict=True):
                group["lr"] = base * factor
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        device = self.fabric.device
        self.window = [{name: loss.to(device) for name, loss in losses.items()} for losses in state["window"]]
        torch.set_rng_state(state["random"]["cpu"])
        # A state that was saved on another device has none.
        if device.type == "cuda" and state["random"]["cuda"] is not None:
            torch.cuda.set_rng_state(state["random"]["cuda"], device)

    def _cuda_random_state(self) -> Tensor | None:
        return torch.cuda.get_rng_state(self.fabric.device) if self.fabric.device.type == "cuda" else None

    def _learners(self) -> dict[str, nn.Module]:
        """The modules that are trained; of the contrast, only its own layers and not the frozen encoder."""
        modules = {name: network.module for name, network in self.networks.items()}
        return modules | ({"contrast": self.contrast.loss} if "contrast" in modules else {})

    def step(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Updates all networks once on images (B, 3, H, W) of both domains; returns losses, still on the device."""
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
        if self.translates_both:
            y, identity = generator(torch.cat([a, b])).split([len(a), len(b)])
            return y, identity
        return generator(a), None

    def _update_discriminator(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        discriminator, optimizer = self.networks["discriminator"], self.optimizers["discriminator"]
        images = _side_by_side(fake, real)
        scores, penalty = discriminator(images, REAL) if self.r1 > 0 else (discriminator(images), None)
        loss = self.gan.discriminator(*scores.unflatten(0, (-1, 2)).unbind(1))
        losses, total = {"discriminator": loss.detach()}, loss
        if penalty is not None:
            total = loss + self.r1 / 2 * penalty
            losses |= {"r1": penalty.detach()}
        optimizer.zero_grad()
        self.fabric.backward(total)
        optimizer.step()
        return losses

    def _update_generator(self, a: Tensor, b: Tensor, y: Tensor, identity: Tensor | None) -> dict[str, Tensor]:
        discriminator, optimizer = self.networks["discriminator"], self.optimizers["discriminator"]
        require_gradient(optimizer, False)
        with self.fabric.no_backward_sync(discriminator):
            adversarial = self.gan.generator(discriminator(y))
        require_gradient(optimizer, True)
        losses, total = {"generator_gan": adversarial.detach()}, adversarial
        if self.weight > 0:
            inputs, outputs = (_side_by_side(a, b), _side_by_side(y, identity)) if self.identity_term else (a, y)
            contrast, numbers = self.networks["contrast"](inputs, outputs)
            total = total + self.weight * contrast
            losses |= {"contrast": contrast.detach(), **numbers}
        if self.identity_weight > 0:
            difference = (identity - b).abs().mean()
            total = total + self.identity_weight * difference
            losses |= {"identity": difference.detach()}
        learners = [self.optimizers[name] for name in ("generator", "contrast") if name in self.optimizers]
        for optimizer in learners:
            optimizer.zero_grad()
        self.fabric.backward(total)
        for optimizer in learners:
            optimizer.step()
        return losses


def require_gradient(optimizer: torch.optim.Optimizer, required: bool) -> None:
    """Switches the gradients of what ``optimizer`` trains; frozen parameters beside it stay as they are."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(required)


def _side_by_side(a: Tensor, b: Tensor) -> Tensor:
    """``a_0, b_0, a_1, b_1, ...``: each process's images are then consecutive among all, as random draws assume."""
    return torch.stack([a, b], dim=1).flatten(0, 1)  # (B, 2, 3, H, W) -> (2B, 3, H, W)


def _adam(network: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.Adam(trained, lr=rate, betas=betas, fused=True)


def _load_moments(optimizer: torch.optim.Optimizer, moments: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Loads the optimizer's moments in the memory layout of their parameters, on which the fused step relies."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    placed = {}
    for index, saved in moments.items():
        parameter = parameters[int(index)]
        placed[int(index)] = {
            name: torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.dim() else value
            for name, value in saved.items()
        }
    optimizer.load_state_dict({"state": placed, "param_groups": optimizer.state_dict()["param_groups"]})


def constant_steps(steps: int, share: float) -> int:
    """The number of steps at the full learning rate, if they are a ``share`` of all ``steps``."""
    return round(steps * share)


def _constant_then_linear(config: TrainConfig):
    """The factor of the learning rate by step: 1 for ``constant_share`` of the steps, then falling linearly to 0."""
    constant = constant_steps(config.steps, config.constant_share)
    decaying = max(config.steps - constant, 1)
    return lambda step: min(1.0, (config.steps - step) / decaying)


def _average(generator: nn.Module, decay: float) -> AveragedModel | None:
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay > 0 else None
