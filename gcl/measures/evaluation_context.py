"""What the metrics of one evaluation share: data, features, and measurements that several of them need."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from gcl.config import EvaluateConfig
from gcl.images.prepared import Prepared
from gcl.measures.features.feature_extractors import PerceptualDistance, PooledFeatures
from gcl.measures.features.feature_sets import FEATURE_SETS

Measured = TypeVar("Measured")


class Context:
    """One evaluation of the folder ``translated``, which holds the translations of testA of ``prepared``.

    Each network is loaded once, when a metric first asks for it.
    """

    def __init__(self, config: EvaluateConfig, prepared: Prepared, translated: Path, device: str):
        self.config, self.prepared, self.translated, self.device = config, prepared, translated, device
        self.features = FEATURE_SETS[config.features]
        self._kept: dict[Any, Any] = {}

    @cached_property
    def pooled(self) -> PooledFeatures:
        """The features for metrics of sets; WeightsUnavailable if their weights are missing."""
        return self.features.pooled(self.config)

    @cached_property
    def perceptual(self) -> PerceptualDistance:
        """The distance for metrics of pairs; WeightsUnavailable if its weights are missing."""
        return self.features.perceptual(self.config)

    def once(self, measure: Callable[["Context", Path], Measured], images: Path) -> Measured:
        """``measure(self, images)``, computed at the first call and kept, for metrics that are parts of its result."""
        key = measure, images
        if key not in self._kept:
            self._kept[key] = measure(self, images)
        return self._kept[key]
