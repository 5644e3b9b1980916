"""The sections of params.yaml as frozen models that refuse unknown keys and values out of range.

No file is read here; the defaults and the comment to every key stand in params.yaml.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gcl.public_datasets import DATASETS

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Adjacency = Literal["shared", "separate", "identity"]


def _count_or_auto(devices: object) -> object:
    if devices == "auto" or (type(devices) is int and devices >= 1):
        return devices
    raise ValueError(f"train.devices = {devices}: must be a whole number of at least 1, or auto")


class Section(BaseModel):
    """One section of params.yaml: immutable, every key required, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which images, and how ``prepare`` stores them."""

    source: Literal[("scenes", "folder", *DATASETS)]
    path: Path | None
    mirror: str | None
    image_size: Annotated[int, Field(ge=32)] | None
    test_share: Annotated[float, Field(gt=0, lt=1)]
    on_bad_image: Literal["stop", "skip"]
    scenes_train: Count
    scenes_test: Annotated[int, Field(ge=2)]
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
    weights: Path | None


class GraphConfig(Section):
    """The graph contrastive loss."""

    weight: Annotated[float, Field(ge=0)]
    identity_term: bool
    patches: Count
    embedding: Count
    adjacency: Adjacency
    threshold: Annotated[float, Field(ge=-1, le=1)]
    hops: Annotated[int, Field(ge=0)]
    pooling: bool
    levels: Annotated[int, Field(ge=1, le=3)]
    keep: Share
    level_weights: tuple[Annotated[float, Field(ge=0)], ...]
    temperature: Annotated[float, Field(gt=0)]

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
        """What :class:`gcl.losses.GraphContrastiveLoss` takes, beside the channels of the encoder."""
        names = ("patches", "embedding", "hops", "threshold", "adjacency", "keep", "temperature")
        used_weights = self.level_weights[: 1 + self.used_levels]
        return {name: getattr(self, name) for name in names} | {"level_weights": used_weights}


class CutConfig(Section):
    """PatchNCE on the generator's own features: the baseline CUT."""

    weight: Annotated[float, Field(ge=0)]
    identity_term: bool
    layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    patches: Count
    embedding: Count
    temperature: Annotated[float, Field(gt=0)]


class GeneratorConfig(Section):
    """The network that translates."""

    channels: Count
    blocks: Count
    downsamplings: Annotated[int, Field(ge=1, le=4)]
    resampling: Literal["blur", "resize"]


class DiscriminatorConfig(Section):
    """The network that tells translated images from real ones."""

    channels: Count
    layers: Annotated[int, Field(ge=1, le=5)]
    spectral_norm: bool


class TrainConfig(Section):
    """Optimisation, the images' augmentation, the device, and what is written down on the way."""

    seed: Seed
    steps: Count
    constant_share: Annotated[float, Field(ge=0, le=1)]
    batch_size: Count
    load_size: Count
    crop_size: Annotated[int, Field(ge=16)]
    flip: bool
    generator_lr: Annotated[float, Field(gt=0)]
    discriminator_lr: Annotated[float, Field(gt=0)]
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    average_decay: Annotated[float, Field(ge=0, lt=1)]
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Annotated[int | Literal["auto"], BeforeValidator(_count_or_auto)]
    num_nodes: Count
    strategy: Literal["auto", "ddp"]
    precision: Precision
    channels_last: bool
    workers: Annotated[int, Field(ge=0)]
    log_every: Count
    sample_every: Count
    save_every: Count
    sample_images: Count

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
    inception_weights: Path | None
    alexnet_weights: Path | None
    batch_size: Count
    seed: Seed


MAIN = "main"
"""The variant that changes nothing: the experiment itself."""


class AblateConfig(Section):
    """Which variants of the experiment are trained beside it, and how often."""

    seeds: Count
    variants: dict[Annotated[str, Field(pattern=r"^\w+$")], dict[str, Any]]

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
        ValidationError for what ``graph`` would not take.
        """
        changes = dict(self.ablate.variants[name])
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
