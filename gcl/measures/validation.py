"""The metrics of the validation split: some of those of the test split, quick enough to be measured during training."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

from gcl.config import EvaluateConfig
from gcl.images.pixels import to_signed, to_tensor
from gcl.images.prepared import Prepared
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.self_similarity import self_similarity_difference
from gcl.measures.set_distances import KernelReference


class Validation:
    """Measures folders of translations of the validation images of A.

    What depends on the data alone is computed once. Nothing here changes the state of torch's random generators. The
    values are those that :func:`gcl.measures.evaluation.evaluate` would find if the validation images were the test
    images, except for rounding.

    Args:
        config: which features to measure on; WeightsUnavailable if their weights are missing.
        prepared: a data set that has validation images.
        count: how many of them to use per domain, evenly spread; all of them if there are fewer.
        device: the device to measure on.
    """

    @torch.random.fork_rng(devices=[])
    def __init__(self, config: EvaluateConfig, prepared: Prepared, count: int, device: str):
        features = FEATURE_SETS[config.features]
        self._prepared, self._device = prepared, device
        self.inputs = _evenly(prepared.images("validationA"), count)
        self._real = _evenly(prepared.images("trainB"), len(self.inputs))
        self._perceptual = features.perceptual(config)
        self._perceptual.network.to(device)
        reference = _evenly(prepared.images("validationB"), count)
        self.counts = {"A": len(self.inputs), "B": len(reference)}
        self._reference = KernelReference(
            reference,
            features.pooled(config),
            config.batch_size,
            config.seed,
            device,
            alike=[*self.inputs, *self._real],
        )
        self.kid = f"kid{features.pooled_suffix}"
        self.to_input = f"lpips{features.perceptual_suffix}_to_input"
        self.structure = f"structure{features.perceptual_suffix}_to_input"
        self.to_truth = f"lpips{features.perceptual_suffix}_to_truth" if prepared.manifest.validation_paired else None

    @torch.no_grad()
    @torch.random.fork_rng(devices=[])
    def measure(self, translated: Path) -> dict[str, float]:
        """The metrics, by name, of the folder ``translated``: one PNG per image in ``inputs``, of the same name."""
        images = [translated / path.name for path in self.inputs]
        pairs = [self._pair_distances(*files) for files in zip(images, self.inputs, strict=True)]
        return {
            self.kid: self._reference.kernel_distance(images),
            **{name: fmean(pair[name] for pair in pairs) for name in pairs[0]},
        }

    def untranslated(self) -> dict[str, float]:
        """The metrics of doing nothing."""
        return self.measure(self._prepared.split("validationA"))

    @torch.no_grad()
    @torch.random.fork_rng(devices=[])
    def real(self) -> dict[str, float]:
        """KID of training images of B, as many as there are inputs and evenly spread; empty if there is only one."""
        return {self.kid: self._reference.kernel_distance(self._real)} if len(self._real) > 1 else {}

    def _pair_distances(self, image: Path, source: Path) -> dict[str, float]:
        """The distances of one translation to its input and to its truth."""
        truth = [] if self.to_truth is None else [self._prepared.split("validationB") / source.name]
        maps = [self._perceptual.maps(self._load(path)) for path in (image, source, *truth)]
        distances = {
            self.to_input: self._perceptual.between(maps[0], maps[1]).item(),
            self.structure: self_similarity_difference(maps[0][-1][0], maps[1][-1][0]),
        }
        return distances | ({self.to_truth: self._perceptual.between(maps[0], maps[2]).item()} if truth else {})

    def _load(self, path: Path) -> torch.Tensor:
        return to_signed(to_tensor(path).to(self._device))[None]  # (1, 3, H, W)


def _evenly(images: Sequence[Path], count: int) -> list[Path]:
    """At most ``count`` of the ``images``, evenly spread over them."""
    chosen = min(count, len(images))
    return [images[index * len(images) // chosen] for index in range(chosen)]
