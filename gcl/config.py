"""The sections of params.yaml as frozen models that refuse unknown keys and values out of range.

No file is read here; the defaults and the comment to every key stand in params.yaml.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gcl.networks.encoders import ENCODERS
from gcl.networks.plans import last_generator_layer
from gcl.sources.public_datasets import DATASETS
from gcl.value_ranges import (
    Decay,
    Devices,
    File,
    FileOrAddress,
    Images,
    Nodes,
    Patches,
    Pixels,
    Rate,
    Real,
    Seed,
    Share,
    Steps,
    Temperature,
    Weight,
    Whole,
    Width,
)

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Adjacency = Literal["shared", "separate", "identity"]


class Section(BaseModel):
    """One section of params.yaml: immutable, every key required, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which images, and how ``prepare`` stores them."""

    source: Literal[("scenes", "folder", *DATASETS)]
    path: File | None
    mirror: FileOrAddress | None
    image_size: Annotated[Pixels, Field(ge=32)] | None
    test_share: Annotated[Real, Field(gt=0, lt=1)]
    on_bad_image: Literal["stop", "skip"]
    scenes_train: Images
    scenes_test: Annotated[Images, Field(ge=2)]
    seed: Seed

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> Self:
        if self.source == "folder" and self.path is None:
            raise ValueError("data.source is folder: set data.path to the folder that holds trainA and trainB")
        if self.source == "scenes" and self.image_size is None:
            raise ValueError("data.source is scenes: set data.image_size, the pixels to draw them at, to a number")
        return self


class EncoderConfig(Section):
    """The frozen network whose features become graph nodes."""

    name: Literal["small", "vgg16"]
    layers: Annotated[tuple[Annotated[str, Field(pattern=r"^relu[1-5]_[1-3]$")], ...], Field(min_length=1)]
    weights: File | None


class GraphConfig(Section):
    """The graph contrastive loss."""

    weight: Weight
    identity_term: bool
    patches: Patches
    embedding: Width
    adjacency: Adjacency
    threshold: Annotated[Real, Field(ge=-1, le=1)]
    hops: Annotated[Whole, Field(ge=0, le=16)]
    pooling: bool
    levels: Annotated[Whole, Field(ge=1, le=3)]
    keep: Share
    level_weights: tuple[Weight, ...]
    temperature: Temperature

    @model_validator(mode="after")
    def _a_weight_for_every_level(self) -> Self:
        needed = 1 + self.used_levels
        if len(self.level_weights) < needed:
            raise ValueError(
                f"graph.level_weights has {len(self.level_weights)} numbers; graph.levels {self.levels} "
                f"needs {needed}, the unpooled graph's first"
            )
        return self

    @property
    def used_levels(self) -> int:
        """Pooling levels that there are: none where pooling is off."""
        return self.levels if self.pooling else 0

    @property
    def loss_arguments(self) -> dict[str, Any]:
        """What :class:`gcl.contrast.graph_loss.GraphContrastiveLoss` takes, beside the channels of the encoder."""
        names = ("patches", "embedding", "hops", "threshold", "adjacency", "keep", "temperature")
        used_weights = self.level_weights[: 1 + self.used_levels]
        return {name: getattr(self, name) for name in names} | {"level_weights": used_weights}


class CutConfig(Section):
    """PatchNCE on the generator's own features: the baseline CUT."""

    weight: Weight
    identity_term: bool
    layers: Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(min_length=1)]
    patches: Patches
    embedding: Width
    temperature: Temperature


class GeneratorConfig(Section):
    """The network that translates."""

    channels: Annotated[Whole, Field(ge=1, le=512)]
    blocks: Annotated[Whole, Field(ge=1, le=100)]
    downsamplings: Annotated[Whole, Field(ge=1, le=4)]
    resampling: Literal["blur", "resize"]


class DiscriminatorConfig(Section):
    """The network that tells translated images from real ones."""

    channels: Annotated[Whole, Field(ge=1, le=512)]
    layers: Annotated[Whole, Field(ge=1, le=5)]
    spectral_norm: bool


class TrainConfig(Section):
    """Optimisation, the images' augmentation, the device, and what is written down on the way."""

    seed: Seed
    steps: Steps
    constant_share: Annotated[Real, Field(ge=0, le=1)]
    batch_size: Width
    load_size: Pixels
    crop_size: Pixels
    flip: bool
    generator_lr: Rate
    discriminator_lr: Rate
    betas: tuple[Decay, Decay]
    average_decay: Decay
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Devices
    num_nodes: Nodes
    strategy: Literal["auto", "ddp"]
    precision: Precision
    channels_last: bool
    workers: Annotated[Whole, Field(ge=0, le=128)]
    log_every: Steps
    sample_every: Steps
    save_every: Steps
    sample_images: Images

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop_size > self.load_size:
            raise ValueError(
                f"train.crop_size {self.crop_size} is larger than train.load_size {self.load_size}; "
                "images are resized to load_size and then cropped"
            )
        return self


class EvaluateConfig(Section):
    """How outputs are judged."""

    features: Literal["small", "inception"]
    inception_weights: File | None
    alexnet_weights: File | None
    batch_size: Width
    seed: Seed


UNSEEN_BY_DVC = ("size", "nfiles")
"""Keys that DVC's cache of runs passes over, wherever they stand, parameters included (iterative/dvc#10296)."""

MAIN = "main"
"""The variant that changes nothing: the experiment itself."""


class AblateConfig(Section):
    """Which variants of the experiment are trained beside it, and how often."""

    seeds: Annotated[Whole, Field(ge=1, le=1000)]
    variants: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _names_suit_files_and_dvc(self) -> Self:
        for name in self.variants:
            if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
                raise ValueError(
                    f"ablate.variants.{name}: a name is made of up to 100 letters of the English alphabet, digits and _"
                )
            if name in UNSEEN_BY_DVC:
                raise ValueError(
                    f"ablate.variants.{name}: DVC leaves this name out of what it compares; choose another"
                )
        return self

    @model_validator(mode="after")
    def _main_changes_nothing(self) -> Self:
        if self.variants.get(MAIN):
            raise ValueError(f"ablate.variants.{MAIN} is the main run itself and changes nothing: make it {{}}")
        return self


class Params(Section):
    """The whole of params.yaml."""

    data: DataConfig
    method: Literal["gcl", "cut"]
    encoder: EncoderConfig
    graph: GraphConfig
    cut: CutConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    ablate: AblateConfig

    @property
    def contrast(self) -> GraphConfig | CutConfig:
        """The section of the chosen method."""
        return self.graph if self.method == "gcl" else self.cut

    def read(self) -> dict[str, Any]:
        """What one training and its evaluation depend on, JSON-ready: all but the other method's sections."""
        unread = {"cut"} if self.method == "gcl" else {"encoder", "graph"}
        return self.model_dump(mode="json", exclude={"ablate", *unread})

    def variant(self, name: str) -> Self:
        """These parameters with the changes of ``ablate.variants.NAME``.

        Its keys are those of ``graph``, and ``method``; changes of the graph mean the method gcl. Raises pydantic's
        ValidationError for what ``graph`` would not take, ValueError for a key to which another leaves no effect.
        """
        changes = dict(self.ablate.variants[name])
        _check_effective(name, changes)
        method = changes.pop("method", "gcl" if changes else self.method)
        graph = GraphConfig.model_validate({**self.graph.model_dump(), **changes})
        return type(self).model_validate({**dict(self), "method": method, "graph": graph})

    @property
    def seeds(self) -> range:
        """The seeds of every variant, of which the first is that of the main run."""
        return range(self.train.seed, self.train.seed + self.ablate.seeds)

    def seeds_of(self, variant: str) -> range:
        """The seeds that the stage of a variant runs: of ``main`` the first is the main run itself."""
        return self.seeds[1:] if variant == MAIN else self.seeds

    def with_seed(self, seed: int) -> Self:
        """These parameters with another ``train.seed``."""
        return self.model_copy(update={"train": self.train.model_copy(update={"seed": seed})})

    @model_validator(mode="after")
    def _layers_are_there(self) -> Self:
        if self.method == "gcl":
            name, asked, allowed = self.encoder.name, self.encoder.layers, ENCODERS[self.encoder.name].layers
            section, network = "encoder", f"encoder.name {name}"
        else:
            last = last_generator_layer(**self.generator.model_dump(exclude={"channels"}))
            section, asked, allowed = "cut", self.cut.layers, range(last + 1)
            network = "this generator"
        wrong = [layer for layer in asked if layer not in allowed]
        if wrong:
            known = f"0 to {allowed[-1]}" if section == "cut" else ", ".join(allowed)
            raise ValueError(f"{section}.layers: {network} has no layer {wrong[0]}; there are {known}")
        return self

    @model_validator(mode="after")
    def _networks_fit_the_crop(self) -> Self:
        crop, stride = self.train.crop_size, 2**self.generator.downsamplings
        if crop % stride or crop < 4 * stride:
            raise ValueError(
                f"train.crop_size {crop} does not suit generator.downsamplings {self.generator.downsamplings}: "
                f"it must be a multiple of {stride} and at least {4 * stride}"
            )
        side = crop
        for _ in range(self.discriminator.layers):
            side = side // 2  # a 4x4 convolution takes a pixel off, blurred downsampling halves, rounding up
        if side < 3:
            raise ValueError(
                f"discriminator.layers {self.discriminator.layers} are too many for train.crop_size {crop}: "
                "nothing would be left of the image"
            )
        return self


def _check_effective(name: str, changes: Mapping[str, Any]) -> None:
    """ValueError if a variant changes what another of its own changes leaves without effect."""
    others = changes.keys() - {"method"}
    unread = {
        "method: cut": others if changes.get("method") == "cut" else set(),
        "weight: 0": others - {"weight"} if changes.get("weight") == 0 else set(),
        "pooling: false": others & {"levels", "keep"} if changes.get("pooling") is False else set(),
        "adjacency: identity": others & {"threshold"} if changes.get("adjacency") == "identity" else set(),
    }
    for reason, keys in unread.items():
        if keys:
            raise ValueError(f"ablate.variants.{name}: {sorted(keys)[0]} has no effect with {reason}; leave it out")
