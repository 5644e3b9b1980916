"""Finds the same picture twice: within a split, in training and test images of one domain, and in both domains.

Two images are copies if their perceptual hashes, or that of one and of the other's mirror image, differ in few bits,
and their thumbnails then look alike too. The hash alone knows no colours and takes a red heart for a green one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gcl.checks.image_facts import ImageFacts
from gcl.images.manifest import SPLITS

MOST_BITS = 48
"""The most of the hash's 256 bits in which copies may differ.

Of 720,000 pairs of pepper leaves on one ground, four differ in no more, and each of them shows the same leaf twice.
"""

MOST_DISTANCE = 25.0
"""The most by which the thumbnails of copies differ: root mean square over pixels and channels, 0 to 255."""

CLOSEST_FIRST = ["different", "bits", "original"]
"""The columns that sort pairs: those with the same pixels first, then by their hashes, then by place."""

BLOCK = 256
"""The number of images that are compared with all others at once; memory grows with it."""


@dataclass(frozen=True)
class Copy:
    """An image, the one that it repeats, as messages call them, and whether their pixels are the same."""

    image: str
    original: str
    exact: bool


@dataclass(frozen=True)
class Copies:
    """The images of ``where`` that repeat one of ``of``: two splits, one split twice, or the domains "A" and "B".

    ``images`` is the number of images in ``where``.
    """

    where: str
    of: str
    images: int
    copies: list[Copy]

    @property
    def exact(self) -> int:
        """The number of copies with the same pixels."""
        return sum(copy.exact for copy in self.copies)


def find_copies(images: Sequence[ImageFacts]) -> list[Copies]:
    """Copies of training images in the tests of their domain, of B in A, and within each split, where there are any.

    ``images`` are in the order of the splits. Between A and B, test images of one name are left out: they may be meant
    as pairs.
    """
    if len(images) < 2:
        return []
    pairs = similar_pairs(images)
    both_ways = pd.concat([pairs, pairs.rename(columns={"image": "original", "original": "image"})])
    split = pd.Series([image.split for image in images])
    domain = split.str[-1]
    test_name = pd.Series([image.stem if image.split.startswith("test") else image.told for image in images])
    earlier = both_ways["original"] < both_ways["image"]
    names_differ = both_ways["image"].map(test_name) != both_ways["original"].map(test_name)
    found = [
        *(_copies(images, both_ways, split, f"test{domain}", f"train{domain}") for domain in "AB"),
        _copies(images, both_ways[names_differ], domain, "A", "B"),
        *(_copies(images, both_ways[earlier], split, one, one) for one in SPLITS),
    ]
    return [copies for copies in found if copies.copies]


def _copies(images: Sequence[ImageFacts], pairs: pd.DataFrame, place: pd.Series, where: str, of: str) -> Copies:
    """Of ``pairs``, the closest one for each image of ``where`` with an original in ``of``; ``place`` is by image."""
    here = pairs[(pairs["image"].map(place) == where) & (pairs["original"].map(place) == of)]
    closest = here.sort_values(["image", *CLOSEST_FIRST]).drop_duplicates("image")
    rows = zip(closest["image"], closest["original"], closest["different"], strict=True)
    copies = [Copy(images[image].told, images[original].told, not different) for image, original, different in rows]
    return Copies(where, of, int((place == where).sum()), copies)


def similar_pairs(images: Sequence[ImageFacts]) -> pd.DataFrame:
    """All pairs of copies, with these columns.

    ``image`` and ``original`` are indices of ``images``, the second being smaller; ``different`` says whether the
    pixels differ, ``bits`` in how many bits the hashes do.
    """
    hashes, mirrored = (np.array([getattr(image, name) for image in images]) for name in ("fingerprint", "mirrored"))
    thumbnails = np.array([image.thumbnail for image in images], np.float32)
    pairs = pd.concat(
        [
            _pairs_with_block(start, hashes, thumbnails, others, views)
            for others, views in ((hashes, thumbnails), (mirrored, thumbnails[:, :, ::-1]))
            for start in range(0, len(images), BLOCK)
        ]
    )
    pixels = pd.Series([image.pixels for image in images])
    pairs["different"] = pairs["image"].map(pixels) != pairs["original"].map(pixels)
    return pairs.sort_values("bits", kind="stable").drop_duplicates(["image", "original"])


def _pairs_with_block(
    start: int, hashes: np.ndarray, thumbnails: np.ndarray, others: np.ndarray, views: np.ndarray
) -> pd.DataFrame:
    """The pairs whose original is one of the ``BLOCK`` images from ``start`` on.

    Originals have ``hashes`` (N, 4) and ``thumbnails`` (N, 32, 32, 3), their copies ``others`` and ``views``.
    """
    block = slice(start, start + BLOCK)
    # (block, N), one word of the hash after the other
    bits = sum(np.bitwise_count(hashes[block, None, word] ^ others[:, word]).astype(np.uint16) for word in range(4))
    later = np.arange(len(hashes)) > np.arange(start, start + len(bits))[:, None]
    originals, copies = np.nonzero((bits <= MOST_BITS) & later)
    bits = bits[originals, copies]
    near = _distances(thumbnails[block], views, originals, copies) <= MOST_DISTANCE
    return pd.DataFrame({"image": copies[near], "original": originals[near] + start, "bits": bits[near]})


def _distances(some: np.ndarray, others: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The root mean square differences of ``some[rows]`` and ``others[columns]``, a few at a time to save memory."""
    parts = np.array_split(np.arange(len(rows)), 1 + len(rows) // 1024)
    squares = [np.square(some[rows[part]] - others[columns[part]]).mean(axis=(1, 2, 3)) for part in parts]
    return np.sqrt(np.concatenate(squares))
