"""Builds the trainer, and the pairs of images it is trained on, from parameters."""

from lightning_fabric import Fabric, seed_everything

from gcl.config import Params, TrainConfig
from gcl.contrast.methods import method_of, own_section
from gcl.images.batches import Augmentation, UnpairedImages
from gcl.images.prepared import Prepared
from gcl.networks.discriminators import build_discriminator
from gcl.networks.generator import Generator
from gcl.training.augmentation import Augmented
from gcl.training.gan_losses import loss_of
from gcl.training.start_from import Start
from gcl.training.trainer import Trainer


def build_trainer(params: Params, fabric: Fabric, start: Start | None = None) -> Trainer:
    """The networks, losses and optimisers that ``params`` describe, initialised from train.seed, and from ``start``.

    UserError if the weights of ``start`` do not fit.
    """
    seed_everything(params.train.seed, verbose=False)
    # The networks come first: the same seed then gives them the same weights whatever the method.
    generator = Generator(**params.generator.model_dump())
    discriminator = build_discriminator(params.discriminator)
    contrast = method_of(params).build(params, generator)
    if start is not None:
        start.load_into({"generator": generator, "discriminator": discriminator, "contrast": contrast.loss})
    if params.discriminator.augment is not None:
        discriminator = Augmented(discriminator, params.discriminator.augment)
    return Trainer(
        fabric,
        generator,
        discriminator,
        contrast,
        weight=own_section(params).weight,
        identity_term=own_section(params).identity_term,
        config=params.train,
        gan=loss_of(params.discriminator.name, params.discriminator.loss),
        r1=params.discriminator.r1,
    )


def training_pairs(config: TrainConfig, prepared: Prepared, processes: int) -> UnpairedImages:
    """Pairs of the training images in ``prepared``, as many as the steps of all ``processes`` need."""
    return UnpairedImages(
        (prepared.images("trainA"), prepared.images("trainB")),
        length=config.steps * config.batch_size * processes,
        seed=config.seed,
        augmentation=Augmentation(config.load_size, config.crop_size, config.flip, config.zoom),
    )
