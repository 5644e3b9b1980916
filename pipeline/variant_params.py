"""The variants of the ablation: the experiment with some keys of its method's section changed, once per seed."""

import json
from collections.abc import Mapping
from typing import Any

from gcl.config import MAIN, Params
from gcl.contrast.methods import method_of
from gcl.errors import UserError


def variant_of(params: Params, name: str) -> Params:
    """``params`` with the changes of ``ablate.variants.NAME``.

    The keys of a variant are ``method`` and those of that method's section. Without ``method``, its keys are those of
    ``graph``, and its method is gcl. Raises pydantic's ValidationError for keys or values that the section does not
    accept, and UserError for an unknown method or for a key that has no effect because of another.
    """
    changes = dict(params.ablate.variants[name])
    chosen = changes.pop("method", "gcl" if changes else params.method)
    varied = params.model_copy(update={"method": chosen})
    method = method_of(varied)
    _check_effective(name, changes, method.without_effect)
    section = getattr(params, method.section)
    changed = type(section).model_validate({**section.model_dump(), **changes})
    return varied.model_copy(update={method.section: changed})


def seeds(params: Params) -> range:
    """The seeds of every variant; the first is the main run's."""
    return range(params.train.seed, params.train.seed + params.ablate.seeds)


def seeds_of(params: Params, variant: str) -> range:
    """The seeds that the stage of a ``variant`` runs; for ``main`` without the first, which is the main run itself."""
    return seeds(params)[1:] if variant == MAIN else seeds(params)


def with_seed(params: Params, seed: int) -> Params:
    """``params`` with another ``train.seed``."""
    return params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})})


def _check_effective(
    name: str, changes: Mapping[str, Any], without_effect: Mapping[tuple[str, object], set[str]]
) -> None:
    """UserError if a variant changes a key that has no effect because of another of its changes."""
    everything = changes.keys() - {"weight"}
    for (key, value), others in {("weight", 0): everything, **without_effect}.items():
        if changes.get(key) == value and (unread := changes.keys() & others):
            raise UserError(
                f"ablate.variants.{name}: {min(unread)} has no effect with {key}: {written(value)}; leave it out"
            )


def written(value: object) -> str:
    """``value`` as it is written in params.yaml."""
    return value if isinstance(value, str) else json.dumps(value)
