"""What becomes of training images where a folder has no test images, and those that are held back to validate on."""

import shutil

import numpy as np

from gcl.config import DataConfig
from gcl.errors import UserError
from gcl.images.manifest import Entry
from gcl.images.prepared import Prepared

FEWEST_TO_TEST = 2
"""The fewest images per domain to test or to validate on; metrics that compare sets need a covariance."""

Splits = dict[str, list[Entry]]
"""The entries of each split, which change as images are held back."""


def held_back(images: int, share: float) -> int:
    """How many of a domain's training ``images`` are held back as test images if it has none."""
    return min(max(round(images * share), FEWEST_TO_TEST), images - 1)


def hold_back_to_test(config: DataConfig, target: Prepared, splits: Splits, domain: str) -> str:
    """Moves a random share of a domain's training images, at least FEWEST_TO_TEST, to its tests; returns a note."""
    train, number = f"train{domain}", held_back(len(splits[f"train{domain}"]), config.test_share)
    _move(target, splits, train, f"test{domain}", number, np.random.default_rng(config.seed))
    return f"no test{domain}: held back {number} of {train} (data.seed {config.seed})"


def copy_to_tests(target: Prepared, splits: Splits) -> str:
    """Copies the only training image of each domain to its tests; returns a note."""
    for domain in "AB":
        train, test = f"train{domain}", f"test{domain}"
        splits[test] = splits[train]
        shutil.copy(target.split(train) / splits[train][0].name, target.split(test))
    return (
        "the single-image case, one picture of each domain: a model for these two only, which are its test images too, "
        "and nothing to validate on; gcl preset single_image has the settings for it"
    )


def hold_back_to_validate(config: DataConfig, target: Prepared, splits: Splits) -> list[str]:
    """Moves the validation share of both domains' training images to their validation splits; returns notes.

    If that is too few images of a domain, all of both domains train. UserError if nothing would be left to train on.
    """
    share, domains = config.validation_share, {f"train{domain}": f"validation{domain}" for domain in "AB"}
    if share == 0:
        return []
    counts = {train: len(splits[train]) for train in domains}
    numbers = {train: round(count * share) for train, count in counts.items()}
    for train, count in counts.items():
        if numbers[train] == count:
            raise UserError(
                f"data.validation_share = {share} leaves none of the {count} images of {train} to train on; lower it, "
                "or set it to 0 to train without validation"
            )
    if min(numbers.values()) < FEWEST_TO_TEST:
        return []
    random = np.random.default_rng([config.seed, 1])
    for train, validation in domains.items():
        _move(target, splits, train, validation, numbers[train], random)
    moved = " and ".join(f"{number} of {train}" for train, number in numbers.items())
    return [f"held back {moved} to validate on (data.validation_share {share}, data.seed {config.seed})"]


def _move(target: Prepared, splits: Splits, train: str, other: str, number: int, random: np.random.Generator) -> None:
    """Moves ``number`` images of the split ``train``, chosen by ``random``, to the split ``other``."""
    images = splits[train]
    held = set(random.permutation(len(images))[:number].tolist())
    splits[other] = [images[index] for index in sorted(held)]
    splits[train] = [entry for index, entry in enumerate(images) if index not in held]
    target.split(other).mkdir(exist_ok=True)
    for entry in splits[other]:
        (target.split(train) / entry.name).rename(target.split(other) / entry.name)
