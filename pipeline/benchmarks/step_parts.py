"""The parts of a training step, each on its own, with the tensors and gradients that a step would give it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gcl.training.trainer import Trainer, require_gradient


class StepParts:
    """What :meth:`gcl.training.trainer.Trainer.step` does, in parts that can be called in any order.

    Creating it runs one whole step.

    Args:
        trainer: the trainer, whose weights change as in training.
        batches: endless batches, each a pair of (B, 3, H, W).
        loss_name: the name of the contrast's loss.
    """

    def __init__(self, trainer: Trainer, batches: Iterator[list[Tensor]], loss_name: str):
        self.loss_name = loss_name
        self.trainer, self.batches, self.fabric = trainer, batches, trainer.fabric
        self.contrast = trainer.contrast
        self.a, self.b = self.data()
        self.images = torch.cat([self.a, self.b]) if trainer.translates_both else self.a
        self.step()
        self.outputs = trainer.networks["generator"](self.images).detach()
        self.output_gradient = self._gradient_of_outputs()
        if trainer.weight > 0:
            with self.fabric.autocast():
                self.input_features, features = self._features(self.outputs)
            self.features = [layer.detach() for layer in features]
            self.feature_gradients = self.contrast_loss()

    def calls(self) -> dict[str, Callable[[], object]]:
        """The parts by name; without a contrast there is neither an encoder nor the contrast's loss."""
        contrast = {"encoder": self.encoder, self.loss_name: self.contrast_loss} if self.trainer.weight > 0 else {}
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {"data": self.data, **networks, **contrast, "optimiser": self.optimiser}

    def step(self) -> None:
        """The whole step without reading data."""
        self.trainer.step(self.a, self.b)

    def data(self) -> list[Tensor]:
        """Reads the next batch, in this process."""
        return [images.to(self.fabric.device) for images in next(self.batches)]

    def generator(self) -> None:
        """The generator's forward pass, and the backward pass to its weights."""
        self.trainer.optimizers["generator"].zero_grad()
        self.fabric.backward(self.trainer.networks["generator"](self.images), self.output_gradient)

    def discriminator(self) -> None:
        """The discriminator's passes for its own update, and for the generator's, backward to the translations."""
        discriminator, fake = self.trainer.networks["discriminator"], self.outputs[: len(self.a)]
        optimizer = self.trainer.optimizers["discriminator"]
        optimizer.zero_grad()
        scores = discriminator(torch.cat([fake, self.b]))
        self.fabric.backward(self.trainer.gan.discriminator(*scores.split([len(fake), len(self.b)])))
        require_gradient(optimizer, False)
        self.fabric.backward(self.trainer.gan.generator(discriminator(fake.detach().requires_grad_())))
        require_gradient(optimizer, True)

    def encoder(self) -> None:
        """The features of the inputs, without gradient, and those of the translations, backward to the translations."""
        self.trainer.optimizers["generator"].zero_grad()
        with self.fabric.autocast():
            _, features = self._features(self.outputs.detach().requires_grad_())
        torch.autograd.backward(features, self.feature_gradients)

    def contrast_loss(self) -> list[Tensor]:
        """Runs the contrast's loss and its backward pass; returns the gradients of the translations' features."""
        self.trainer.optimizers["contrast"].zero_grad()
        features = [layer.detach().requires_grad_() for layer in self.features]
        with self.fabric.autocast():
            loss, _ = self.contrast.compare(self.input_features, features)
        loss.backward()
        return [layer.grad for layer in features]

    def optimiser(self) -> None:
        """All updates of weights, learning rates and the moving average; the gradients are kept."""
        for optimizer in self.trainer.optimizers.values():
            optimizer.step()
        for schedule in self.trainer.schedules:
            schedule.step()
        if self.trainer.average is not None:
            self.trainer.average.update_parameters(self.trainer.networks["generator"].module)

    def _features(self, outputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        with torch.no_grad():
            input_features = self.contrast.features(self.images)
        return input_features, self.contrast.features(outputs)

    def _gradient_of_outputs(self) -> Tensor:
        """The gradient of the generator's whole loss by its outputs."""
        outputs = self.outputs.detach().requires_grad_()
        total = self.trainer.gan.generator(self.trainer.networks["discriminator"](outputs[: len(self.a)]))
        if self.trainer.weight > 0:
            total = total + self.trainer.weight * self.trainer.networks["contrast"](self.images, outputs)[0]
        if self.trainer.identity_weight > 0:
            total = total + self.trainer.identity_weight * (outputs[len(self.a) :] - self.b).abs().mean()
        self.fabric.backward(total)
        return outputs.grad
