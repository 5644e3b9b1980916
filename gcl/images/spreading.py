"""A few of many images, at equal distances in their order."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def spread_out(items: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` of the ``items``, from the first to the last at equal distances."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]
