"""Finds the same picture twice: within a split, in training and test images of one domain, and in both domains.

Two images are copies if their perceptual hashes, or that of one and of the other's mirror image, differ in few bits,
and their thumbnails then look alike too. The hash alone knows no colours and takes a red heart for a green one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import euclidean_distances

from gcl.checks.image_facts import ImageFacts, all_pixels
from gcl.images.manifest import SPLITS
from gcl.parallel import in_parallel

MOST_BITS = 48
"""The most of the hash's 256 bits in which copies may differ.

Of 720,000 pairs of pepper leaves on one ground, four differ in no more, and each of them shows the same leaf twice.
"""

MOST_DISTANCE = 25.0
"""The most by which the thumbnails of copies differ: root mean square over pixels and channels, 0 to 255."""

CLOSEST_FIRST = ["different", "bits", "original"]
"""The columns that sort pairs: those with the same pixels first, then by their hashes, then by place."""

BLOCK = 64
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
    as pairs. Each image is said to repeat the closest one only; memory grows with the images, not with their pairs.
    """
    split = np.array([image.split for image in images])
    domain = np.array([image.split[-1] for image in images])
    test_name = np.array([image.stem if image.split.startswith("test") else image.told for image in images])
    relations = [
        *((split, f"test{domain}", f"train{domain}") for domain in "AB"),
        (domain, "A", "B"),
        *((split, one, one) for one in SPLITS),
    ]
    closest: list[pd.DataFrame] = [pd.DataFrame()] * len(relations)
    for pairs in similar_pairs(images):
        both_ways = pd.concat([pairs, pairs.rename(columns={"image": "original", "original": "image"})])
        image, original = both_ways["image"].to_numpy(), both_ways["original"].to_numpy()
        for number, (place, where, of) in enumerate(relations):
            allowed = test_name[image] != test_name[original] if place is domain else (where != of) | (original < image)
            here = both_ways[(place[image] == where) & (place[original] == of) & allowed]
            candidates = pd.concat([closest[number], here])
            closest[number] = candidates.sort_values(["image", *CLOSEST_FIRST]).drop_duplicates("image")
    return [
        _copies(images, found, int((place == where).sum()), where, of)
        for found, (place, where, of) in zip(closest, relations, strict=True)
        if len(found)
    ]


def _copies(images: Sequence[ImageFacts], closest: pd.DataFrame, number: int, where: str, of: str) -> Copies:
    rows = zip(closest["image"], closest["original"], closest["different"], strict=True)
    copies = [Copy(images[image].told, images[original].told, not different) for image, original, different in rows]
    return Copies(where, of, number, copies)


def similar_pairs(images: Sequence[ImageFacts]) -> Iterator[pd.DataFrame]:
    """All pairs of copies, those of ``BLOCK`` originals at a time, with these columns.

    ``image`` and ``original`` are indices of ``images``, the second being smaller; ``different`` says whether the
    pixels differ, ``bits`` in how many bits the hashes do.
    """
    hashes, mirrored = (np.array([getattr(image, name) for image in images]) for name in ("fingerprint", "mirrored"))
    thumbnails = np.array([image.thumbnail for image in images])
    known: dict[int, str] = {}
    for start in range(0, len(images), BLOCK):
        both = [
            _pairs_with_block(start, hashes, thumbnails, others, views)
            for others, views in ((hashes, thumbnails), (mirrored, thumbnails[:, :, ::-1]))
        ]
        pairs = pd.concat(both).sort_values("bits", kind="stable").drop_duplicates(["image", "original"])
        if len(pairs):
            yield pairs.assign(different=_different(images, pairs, known))


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
    alike = (bits <= MOST_BITS) & later
    rows, columns = (np.flatnonzero(alike.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        alike[np.ix_(rows, columns)] &= _distances(thumbnails[block][rows], views[columns]) <= MOST_DISTANCE
    originals, copies = np.nonzero(alike)
    return pd.DataFrame({"image": copies, "original": originals + start, "bits": bits[originals, copies]})


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The root mean square differences (N, M) of two sets of thumbnails, (N, 32, 32, 3) and (M, 32, 32, 3)."""
    first, second = (thumbnails.reshape(len(thumbnails), -1).astype(np.float32) for thumbnails in (some, others))
    return euclidean_distances(first, second) / np.sqrt(first.shape[1])


def _different(images: Sequence[ImageFacts], pairs: pd.DataFrame, known: dict[int, str]) -> np.ndarray:
    """Whether the pixels differ, for each of ``pairs``; adds the digests of fully decoded images to ``known``.

    Full decoding takes long. It is left out where the shrunken pixels, made in the same way, differ already.
    """
    image, original = pairs["image"].to_numpy(), pairs["original"].to_numpy()

    def same(facts: list) -> np.ndarray:
        codes, _ = pd.factorize(np.array(facts))
        return codes[image] == codes[original]

    sizes = same([f"{facts.width}x{facts.height}" for facts in images])
    shrunken, decoding = same([facts.shrunken for facts in images]), same([facts.reduced for facts in images])
    open_question = sizes & (shrunken | ~decoding)
    asked = np.union1d(image[open_question], original[open_question])
    missing = [index for index in asked if index not in known]
    known.update(zip(missing, in_parallel(all_pixels, [images[index].path for index in missing]), strict=True))
    digests = pd.Series(known, dtype=str)
    different = ~open_question
    different[open_question] = digests[image[open_question]].to_numpy() != digests[original[open_question]].to_numpy()
    return different
