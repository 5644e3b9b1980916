"""Parameters -> what is trained, and the pairs of images it is trained on."""

from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric, seed_everything

from gcl.config import CutConfig, EncoderConfig, GraphConfig, Params, TrainConfig
from gcl.contrast.contrasts import GraphContrast, PatchContrast
from gcl.contrast.graph_loss import GraphContrastiveLoss
from gcl.contrast.patch_nce import PatchNCE
from gcl.images.batches import UnpairedImages
from gcl.images.decoding import list_images
from gcl.networks.discriminator import Discriminator
from gcl.networks.encoders import load_encoder
from gcl.networks.generator import Generator
from gcl.training.trainer import Trainer


def build_trainer(params: Params, fabric: Fabric) -> Trainer:
    """The networks, losses and optimisers that ``params`` describe, freshly initialised from train.seed."""
    seed_everything(params.train.seed, verbose=False)
    # The networks come first: the same seed gives them the same weights whatever they are contrasted by.
    generator = Generator(**params.generator.model_dump())
    discriminator = Discriminator(**params.discriminator.model_dump())
    return Trainer(
        fabric,
        generator,
        discriminator,
        _cut(params.cut, generator) if params.method == "cut" else _gcl(params.graph, params.encoder),
        weight=params.contrast.weight,
        identity_term=params.contrast.identity_term,
        config=params.train,
    )


def training_pairs(config: TrainConfig, prepared: Path, processes: int) -> UnpairedImages:
    """The training images of ``prepared``, as many pairs as the steps of all ``processes`` need."""
    return UnpairedImages(
        (list_images(prepared / "trainA"), list_images(prepared / "trainB")),
        length=config.steps * config.batch_size * processes,
        seed=config.seed,
        load_size=config.load_size,
        crop_size=config.crop_size,
        flip=config.flip,
    )


def _gcl(config: GraphConfig, encoder: EncoderConfig) -> GraphContrast:
    network = load_encoder(encoder.name, encoder.layers, encoder.weights)
    return GraphContrast(network, GraphContrastiveLoss(network.channels, **config.loss_arguments))


def _cut(config: CutConfig, generator: Generator) -> PatchContrast:
    encode = partial(generator.encode, layers=config.layers)
    smallest = torch.zeros(1, 3, 4 * generator.stride, 4 * generator.stride)
    with torch.no_grad():
        channels = [features.shape[1] for features in encode(smallest)]
    return PatchContrast(encode, PatchNCE(channels, config.patches, config.embedding, config.temperature))
