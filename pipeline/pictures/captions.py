"""The lines below a translation: its distances to its input, named as in an evaluation."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from gcl.config import EvaluateConfig
from gcl.images.decoding import read_rgb, save_png
from gcl.measures.feature_sets import FEATURE_SETS
from gcl.measures.pair_distances import lpips_distances, structure_distances
from gcl.measures.rounding import shown

SMALLEST = 32
"""The shorter side in pixels below which the features of a set have no positions left."""


def distances_to_input(pairs: Mapping[str, tuple[Path, Path]], features: str) -> dict[str, list[str]]:
    """The lines for each of ``pairs``, a translation and its input, measured on ``features``, a name in FEATURE_SETS.

    Translations that are very small or not of their input's size are not measured, and their lines say so.
    """
    lines: dict[str, list[str]] = defaultdict(list)
    with TemporaryDirectory() as scratch:
        translations, inputs = Path(scratch, "translations"), Path(scratch, "inputs")
        translations.mkdir()
        inputs.mkdir()
        # Metrics compare PNGs of the same name in two folders; numbers serve as names whatever the images are called.
        names = list(pairs)
        for number, name in enumerate(names):
            translation, original = map(read_rgb, pairs[name])
            lines[name] += _obstacle(translation, original)
            if not lines[name]:
                save_png(translation, translations / f"{number}.png")
                save_png(original, inputs / f"{number}.png")
        if any(inputs.iterdir()):
            for metric, values in _measured(translations, inputs, features).items():
                for number, value in values.items():
                    lines[names[int(number)]].append(f"{metric} {shown(value)}")
    return lines


def _obstacle(translation: Image.Image, original: Image.Image) -> list[str]:
    """Why the two cannot be compared; empty if they can."""
    if translation.size != original.size:
        (width, height), (original_width, original_height) = translation.size, original.size
        return ["not measured, as its size is", f"{width}x{height} and its input's {original_width}x{original_height}"]
    return ["too small to be measured"] if min(original.size) < SMALLEST else []


def _measured(translations: Path, inputs: Path, features: str) -> dict[str, dict[str, float]]:
    """The distances by metric and file stem."""
    chosen = FEATURE_SETS[features]
    config = EvaluateConfig(features=features, inception_weights=None, alexnet_weights=None, batch_size=1, seed=0)
    perceptual, suffix = chosen.perceptual(config), chosen.perceptual_suffix
    return {
        f"lpips{suffix}_to_input": lpips_distances(translations, inputs, perceptual, "cpu").per_image,
        f"structure{suffix}_to_input": structure_distances(translations, inputs, perceptual, "cpu").per_image,
    }
