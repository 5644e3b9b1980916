"""Checks whether weights fit a network, and says in plain words how they differ if they do not."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
"""Tensors by name, as ``state_dict`` returns them."""

SIZES = {
    "channels": "base channels",
    "blocks": "residual blocks",
    "downsamplings": "downsamplings",
    "resampling": "resampling",
}
"""How messages call the arguments of :class:`gcl.networks.generator.Generator`."""

MOST_NAMED = 4
"""The most entries that a message names; one wrong size shows up in dozens of them."""


def generator_arguments(state: State) -> dict[str, Any] | None:
    """The arguments of the generator that ``state`` seems to hold; None if the first layer is not a generator's.

    They are derived from a few names and shapes; whether all the others fit is for :func:`differences` to say.
    """
    first = state.get("model.1.weight")
    if first is None or first.ndim != 4 or first.shape[1:] != (3, 7, 7):
        return None
    convolutions = sum(re.fullmatch(r"model\.\d+\.weight", name) is not None for name in state)
    return {
        "channels": first.shape[0],
        "blocks": len({name.split(".")[1] for name in state if ".conv_block." in name}),
        # Besides the first and last convolutions, each downsampling has one on the way down and one on the way up.
        "downsamplings": (convolutions - 2) // 2,
        "resampling": "blur" if any(name.endswith(".filt") for name in state) else "resize",
    }


def differences(expected: State, found: State) -> str:
    """How ``found`` differs from ``expected``, in one line; empty if names and shapes are the same.

    For two generators of different sizes the line gives the sizes, otherwise it names a few entries.
    """
    sizes, other_sizes = generator_arguments(expected), generator_arguments(found)
    if sizes and other_sizes and sizes != other_sizes:
        return "; ".join(
            f"expected {sizes[key]} {words}, found {other_sizes[key]}"
            for key, words in SIZES.items()
            if sizes[key] != other_sizes[key]
        )
    return shortened(entry_differences(expected, found, allowed=expected))


def entry_differences(needed: State, found: State, allowed: State) -> list[str]:
    """How ``found`` differs: ``needed`` entries it lacks, ``allowed`` ones of another shape, and any others."""
    missing = [f"{name} is missing" for name in needed if name not in found]
    misshapen = [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in allowed.items()
        if name in found and found[name].shape != tensor.shape
    ]
    unexpected = [f"{name} is unexpected" for name in found if name not in allowed]
    return missing + misshapen + unexpected


def not_finite(state: State) -> str:
    """The entries of ``state`` that hold infinite values or NaN, in one line; empty if there are none."""
    names = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    return f"values that are not finite in {shortened(names)}" if names else ""


def shortened(items: list[str]) -> str:
    """The first ``items`` in one line, and how many more there are."""
    more = len(items) - MOST_NAMED
    return "; ".join(items[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
