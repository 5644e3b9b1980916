"""The IoU of a segmenter's answers with masks: whether sky, hills, ground and animal are where they should be.

This is the Cityscapes protocol in miniature: the segmenter was trained only on real images of domain B.
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
    """The IoU of every class in ``gcl.images.masks.CLASSES`` by name, and as ``mean`` that of the classes that occur.

    The classes that the segmenter finds in the files in ``images``, sorted by name, are compared with the class ids
    (H, W) of ``masks``. A class that is neither found nor in the masks has 0. ValueError if images and masks differ in
    number or shape.
    """
    network, masks = load_segmenter().to(device), list(masks)
    inputs = (to_signed(to_tensor(path)).unsqueeze(0).to(device) for path in list_images(images))
    found = (segment(network, image)[0].cpu().numpy() for image in inputs)
    overlaps = intersection_over_union(found, masks, len(CLASSES))
    values = {"mean": mean_over_present(overlaps)}
    values |= {name: overlap or 0.0 for name, overlap in zip(CLASSES, overlaps, strict=True)}
    library, version = f"bundled segmenter, sha256 {digest(WEIGHTS)}", f"torch {torch.__version__}"
    return {name: Measurement(value, library, version, len(masks), len(masks)) for name, value in values.items()}
