"""The table of methods, which keep a translation close to its input beside the GAN loss.

All other code asks this table which sections of params.yaml a method reads, how it is built and what it is called. A
new method is a loss in this folder, its section in :mod:`gcl.config`, and a row here. Importing this module does not
import torch, so that a command can check its parameters before anything slow begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gcl.config import CutConfig, GraphConfig, Params, SrcConfig
from gcl.contrast.convolutions import check_convolution
from gcl.errors import UserError
from gcl.networks.architectures import last_generator_layer
from gcl.networks.encoders import check_encoder

if TYPE_CHECKING:
    from torch import nn

    from gcl.contrast.feature_contrasts import GraphContrast, PatchContrast
    from gcl.contrast.graph_loss import GraphContrastiveLoss
    from gcl.networks.generator import Generator


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        label: a description for people.
        loss: the name of its loss in tables of timings.
        section: its own section of params.yaml, which holds ``weight`` and ``identity_term``.
        reads: the sections it reads, among those that only methods read.
        check: raises UserError for parameters with which it cannot be built.
        build: builds the contrast, (inputs, outputs) -> (loss, values to log), from the parameters and the generator.
        shaping: the keys, as section and name, on which the sizes of its layers depend.
        without_effect: maps (key, value) to the keys of its section that have no effect when ``key`` has that value.
    """

    label: str
    loss: str
    section: str
    reads: Sequence[str]
    check: Callable[[Params], None]
    build: Callable[[Params, Generator], nn.Module]
    shaping: Sequence[tuple[str, str]]
    without_effect: Mapping[tuple[str, object], set[str]] = field(default_factory=dict)


def build_graph_loss(config: GraphConfig, channels: Sequence[int]) -> GraphContrastiveLoss:
    """Builds the graph loss with these parameters, for encoder layers with these ``channels``."""
    from gcl.contrast.graph_loss import GraphContrastiveLoss

    levels = config.levels if config.pooling else 0
    names = ("patches", "embedding", "hops", "threshold", "adjacency", "keep", "temperature", "convolution")
    arguments = {name: getattr(config, name) for name in names}
    return GraphContrastiveLoss(channels, **arguments, level_weights=config.level_weights[: 1 + levels])


def _build_graph_contrast(params: Params, _: Generator) -> GraphContrast:
    from gcl.contrast.feature_contrasts import GraphContrast
    from gcl.networks.encoders import load_encoder

    encoder = load_encoder(params.encoder.name, params.encoder.layers, params.encoder.weights)
    return GraphContrast(encoder, build_graph_loss(params.graph, encoder.channels))


def _build_cut(params: Params, generator: Generator) -> PatchContrast:
    from gcl.contrast.patch_nce import PatchNCE

    def loss(config: CutConfig, channels: Sequence[int]) -> nn.Module:
        return PatchNCE(channels, config.patches, config.embedding, config.temperature)

    return _on_own_features(params.cut, generator, loss, params.cut.flip_equivariance)


def _build_src(params: Params, generator: Generator) -> PatchContrast:
    from gcl.contrast.semantic_relation import SemanticRelationLoss

    def loss(config: SrcConfig, channels: Sequence[int]) -> nn.Module:
        own = config.temperature, config.hardness, config.relation_weight
        return SemanticRelationLoss(channels, config.patches, config.embedding, *own)

    return _on_own_features(params.src, generator, loss)


def _on_own_features(
    config: CutConfig | SrcConfig,
    generator: Generator,
    loss: Callable[[Any, Sequence[int]], nn.Module],
    flip_equivariance: bool = False,
) -> PatchContrast:
    """Builds a contrast on the features of the generator's own layers."""
    import torch

    from gcl.contrast.feature_contrasts import PatchContrast

    encode = partial(generator.encode, layers=config.layers)
    smallest = torch.zeros(1, 3, 4 * generator.stride, 4 * generator.stride)
    with torch.no_grad():
        channels = [features.shape[1] for features in encode(smallest)]
    return PatchContrast(encode, loss(config, channels), flip_equivariance)


def _check_graph_contrast(params: Params) -> None:
    check_encoder(params.encoder.name, params.encoder.layers)
    check_convolution(params.graph.convolution, params.graph.hops, params.graph.embedding)


def _check_generator_layers(section: str, params: Params) -> None:
    last = last_generator_layer(**params.generator.model_dump(include={"blocks", "downsamplings", "resampling"}))
    for layer in getattr(params, section).layers:
        if layer > last:
            raise UserError(f"{section}.layers: this generator has no layer {layer}; choose from 0 to {last}")


METHODS = {
    "gcl": Method(
        label="the graph contrastive loss, on the features of a frozen encoder",
        loss="graph loss",
        section="graph",
        reads=("encoder", "graph"),
        check=_check_graph_contrast,
        build=_build_graph_contrast,
        shaping=[
            ("encoder", "name"),
            ("encoder", "layers"),
            *(("graph", key) for key in ("embedding", "convolution", "hops", "pooling", "levels")),
        ],
        without_effect={("pooling", False): {"levels", "keep"}, ("adjacency", "identity"): {"threshold"}},
    ),
    "cut": Method(
        label="the baseline CUT: PatchNCE on the generator's own features",
        loss="PatchNCE",
        section="cut",
        reads=("cut",),
        check=partial(_check_generator_layers, "cut"),
        build=_build_cut,
        shaping=[("cut", "layers"), ("cut", "embedding")],
    ),
    "src": Method(
        label="SRC: relations between patches and hard negatives, on the generator's own features",
        loss="SRC",
        section="src",
        reads=("src",),
        check=partial(_check_generator_layers, "src"),
        build=_build_src,
        shaping=[("src", "layers"), ("src", "embedding")],
    ),
}


def method_of(params: Params) -> Method:
    """The row of ``params.method``; UserError for a name that is not in METHODS."""
    if params.method not in METHODS:
        raise UserError(f"method = {params.method}: there is no such method; choose from {', '.join(METHODS)}")
    return METHODS[params.method]


def check_method(params: Params) -> None:
    """UserError for an unknown method, or for parameters with which the method cannot be built."""
    method_of(params).check(params)


def own_section(params: Params) -> Any:
    """The chosen method's own section of params.yaml."""
    return getattr(params, method_of(params).section)


def read_by_training(params: Params) -> dict[str, Any]:
    """The parameters that training and evaluation depend on, JSON-ready: all but the ablation's, other methods', and
    the memory for translating, which changes no result."""
    others = {section for method in METHODS.values() for section in method.reads} - set(method_of(params).reads)
    return params.model_dump(mode="json", exclude={"translate": {"memory"}, **dict.fromkeys(("ablate", *others), True)})
