"""The sections of params.yaml as frozen models that reject unknown keys and values out of range.

No file is read here: params.yaml holds the defaults and a comment on every key. What a parameter does is documented
where it is used; the names of methods, encoders, discriminators and sources are defined and checked there too.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gcl.value_ranges import (
    Decay,
    Devices,
    File,
    FileOrAddress,
    Gigabytes,
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
Checkpoint = Literal["last", "best"]
OTHER: dict[Checkpoint, Checkpoint] = {"last": "best", "best": "last"}
"""The checkpoint of a training that does not translate, by the one that does."""
Adjacency = Literal["shared", "separate", "identity"]
GeneratorLayers = Annotated[tuple[Annotated[Whole, Field(ge=0)], ...], Field(min_length=1)]


class Section(BaseModel):
    """One section of params.yaml: immutable, with every key required and unknown keys rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which images are used, and how ``prepare`` stores them."""

    source: str
    path: File | None
    mirror: FileOrAddress | None
    direction: Literal["AtoB", "BtoA"]
    image_size: Annotated[Pixels, Field(ge=32)] | None
    test_share: Annotated[Real, Field(gt=0, lt=1)]
    validation_share: Annotated[Real, Field(ge=0, lt=1)]
    test_pairs: bool
    on_bad_image: Literal["stop", "skip"]
    scenes_train: Images
    scenes_test: Annotated[Images, Field(ge=2)]
    scenes_validation: Annotated[Whole, Field(ge=0, le=10**6)]
    seed: Seed

    @model_validator(mode="after")
    def _source_has_what_it_needs(self) -> Self:
        if self.source == "folder" and self.path is None:
            raise ValueError("data.source is folder: set data.path to the folder that holds trainA and trainB")
        if self.source == "scenes" and self.image_size is None:
            raise ValueError("data.source is scenes: set data.image_size to the size in pixels to draw them at")
        if self.scenes_validation == 1:
            raise ValueError("data.scenes_validation = 1: KID takes at least 2 images; 0 goes without validation")
        return self


class EncoderConfig(Section):
    """The frozen network whose features become graph nodes."""

    name: str
    layers: Annotated[tuple[str, ...], Field(min_length=1)]
    weights: File | None


class GraphConfig(Section):
    """The graph contrastive loss."""

    weight: Weight
    identity_term: bool
    patches: Patches
    embedding: Width
    adjacency: Adjacency
    threshold: Annotated[Real, Field(ge=-1, le=1)]
    convolution: str
    hops: Annotated[Whole, Field(ge=0, le=16)]
    pooling: bool
    levels: Annotated[Whole, Field(ge=1, le=3)]
    keep: Share
    level_weights: tuple[Weight, ...]
    temperature: Temperature

    @model_validator(mode="after")
    def _a_weight_for_every_level(self) -> Self:
        needed = 1 + (self.levels if self.pooling else 0)
        if len(self.level_weights) < needed:
            raise ValueError(
                f"graph.level_weights has {len(self.level_weights)} weights; graph.levels {self.levels} "
                f"needs {needed}, starting with the unpooled graph's"
            )
        return self


class CutConfig(Section):
    """PatchNCE on the generator's own features: the baseline CUT."""

    weight: Weight
    identity_term: bool
    layers: GeneratorLayers
    patches: Patches
    embedding: Width
    temperature: Temperature
    flip_equivariance: bool


class SrcConfig(Section):
    """Semantic relation consistency and hard negatives on the generator's own features: SRC."""

    weight: Weight
    identity_term: bool
    layers: GeneratorLayers
    patches: Annotated[Patches, Field(ge=2)]
    embedding: Width
    temperature: Temperature
    hardness: Weight
    relation_weight: Weight


class GeneratorConfig(Section):
    """The network that translates."""

    channels: Annotated[Whole, Field(ge=1, le=512)]
    blocks: Annotated[Whole, Field(ge=1, le=100)]
    downsamplings: Annotated[Whole, Field(ge=1, le=4)]
    resampling: Literal["blur", "resize"]
    residual: bool
    normalization: Literal["instance", "position"]


class DiscriminatorConfig(Section):
    """The network that tells translated images from real ones."""

    name: str
    channels: Annotated[Whole, Field(ge=1, le=512)]
    layers: Annotated[Whole, Field(ge=1, le=5)]
    spectral_norm: bool
    augment: Annotated[tuple[Literal["color", "translation", "cutout"], ...], Field(min_length=1)] | None
    r1: Weight
    loss: Literal["auto", "least_squares", "hinge", "non_saturating"]


class TrainConfig(Section):
    """Optimisation, augmentation, devices, and how often progress is written."""

    seed: Seed
    steps: Steps
    constant_share: Annotated[Real, Field(ge=0, le=1)]
    batch_size: Width
    load_size: Pixels
    crop_size: Pixels
    zoom: bool
    flip: bool
    identity_weight: Weight
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
    start_from: str | None
    log_every: Steps
    sample_every: Steps
    save_every: Steps
    sample_images: Images
    validate_every: Steps
    validation_images: Annotated[Images, Field(ge=2)]
    best_by: Literal["kid", "lpips_to_truth"]
    stop_after: Annotated[Whole, Field(ge=1)] | None

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop_size > self.load_size:
            raise ValueError(
                f"train.crop_size {self.crop_size} is larger than train.load_size {self.load_size}; "
                "images are resized to load_size and then cropped"
            )
        return self


class TranslateConfig(Section):
    """Which of the training's two checkpoints translates the test images, and what memory an image may take."""

    checkpoint: Checkpoint
    memory: Gigabytes | None


class EvaluateConfig(Section):
    """How translations are judged."""

    features: Literal["small", "efficientnet_lite2", "inception"]
    inception_weights: File | None
    alexnet_weights: File | None
    batch_size: Width
    seed: Seed


UNSEEN_BY_DVC = ("size", "nfiles")
"""Keys that DVC's run cache ignores at any depth, even in parameters (iterative/dvc#10296)."""

MAIN = "main"
"""The variant that changes nothing: the experiment itself."""


class AblateConfig(Section):
    """Which variants of the experiment are trained beside it, and with how many seeds."""

    seeds: Annotated[Whole, Field(ge=1, le=1000)]
    variants: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _names_suit_files_and_dvc(self) -> Self:
        for name in self.variants:
            if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
                raise ValueError(
                    f"ablate.variants.{name}: a name consists of 1 to 100 letters of the English alphabet, digits and _"
                )
            if name in UNSEEN_BY_DVC:
                raise ValueError(
                    f"ablate.variants.{name}: DVC ignores this name when it compares parameters; choose another"
                )
        return self

    @model_validator(mode="after")
    def _main_changes_nothing(self) -> Self:
        if self.variants.get(MAIN):
            raise ValueError(f"ablate.variants.{MAIN} is the main run itself and changes nothing: make it {{}}")
        return self


class Params(Section):
    """All sections of params.yaml."""

    data: DataConfig
    method: str
    encoder: EncoderConfig
    graph: GraphConfig
    cut: CutConfig
    src: SrcConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    train: TrainConfig
    translate: TranslateConfig
    evaluate: EvaluateConfig
    ablate: AblateConfig

    @model_validator(mode="after")
    def _generator_fits_the_crop(self) -> Self:
        crop, stride = self.train.crop_size, 2**self.generator.downsamplings
        if crop % stride or crop < 4 * stride:
            raise ValueError(
                f"train.crop_size {crop} does not suit generator.downsamplings {self.generator.downsamplings}: "
                f"it must be a multiple of {stride} and at least {4 * stride}"
            )
        return self
