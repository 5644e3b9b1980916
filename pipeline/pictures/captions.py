"""The lines below a translation: its distances to its input, named as in an evaluation."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from gcl.config import EvaluateConfig
from gcl.images.decoding import read_rgb, save_png
from gcl.measures.features.feature_sets import FEATURE_SETS
from gcl.measures.pair_distances import lpips_distances, structure_distances
from gcl.measures.rounding import shown
from gcl.scoring.decoded_copies import at_size
from gcl.sources.folder import SMALLEST_SIDE


def distances_to_input(
    pairs: Mapping[str, tuple[Path, Path]], config: EvaluateConfig, device: str
) -> dict[str, list[str]]:
    """The lines for each of ``pairs``, a translation and its input, measured as `gcl score` measures them.

    Inputs of another size are resized to that of their translation. Pairs with a very small image are not measured, and
    their lines say so.
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
            if min(*translation.size, *original.size) < SMALLEST_SIDE:
                lines[name].append("too small to be measured")
            else:
                save_png(translation, translations / f"{number}.png")
                save_png(at_size(original, translation.size), inputs / f"{number}.png")
        if any(inputs.iterdir()):
            for metric, values in _measured(translations, inputs, config, device).items():
                for number, value in values.items():
                    lines[names[int(number)]].append(f"{metric} {shown(value)}")
    return lines


def _measured(translations: Path, inputs: Path, config: EvaluateConfig, device: str) -> dict[str, dict[str, float]]:
    """The distances by metric and file stem."""
    chosen = FEATURE_SETS[config.features]
    perceptual, suffix = chosen.perceptual(config), chosen.perceptual_suffix
    return {
        f"lpips{suffix}_to_input": lpips_distances(translations, inputs, perceptual, device).per_image,
        f"structure{suffix}_to_input": structure_distances(translations, inputs, perceptual, device).per_image,
    }
