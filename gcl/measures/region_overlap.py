"""The IoU of a segmenter's answers: whether sky, hills, ground and animal lie where the masks have them.

This is the Cityscapes protocol in miniature: the segmenter learned from real images of domain B alone.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from gcl.files import digest
from gcl.images.decoding import list_images
from gcl.images.masks import CLASSES
from gcl.images.pixels import to_signed, to_tensor
from gcl.measures.intersection_over_union import intersection_over_union, mean_over_present
from gcl.measures.measurement import Measurement
from gcl.measures.segmenter import WEIGHTS, load_segmenter, segment


def region_overlaps(images: Path, masks: Iterable[np.ndarray], device: str) -> dict[str, Measurement]:
    """IoU of every class of `gcl.images.masks.CLASSES` by its name, and as ``mean`` that of those that occur.

    The classes that the segmenter finds in the files of ``images``, in the order of their names, are compared with the
    class ids (H, W) of ``masks``. A class that is neither found nor there has 0.
    Raises ValueError for folders and masks of different numbers or shapes.
    """
    network, masks = load_segmenter().to(device), list(masks)
    inputs = (to_signed(to_tensor(path)).unsqueeze(0).to(device) for path in list_images(images))
    found = (segment(network, image)[0].cpu().numpy() for image in inputs)
    overlaps = intersection_over_union(found, masks, len(CLASSES))
    values = {"mean": mean_over_present(overlaps)}
    values |= {name: overlap or 0.0 for name, overlap in zip(CLASSES, overlaps, strict=True)}
    library, version = f"bundled segmenter, sha256 {digest(WEIGHTS)}", f"torch {torch.__version__}"
    return {name: Measurement(value, library, version, len(masks), len(masks)) for name, value in values.items()}
