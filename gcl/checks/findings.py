"""What a person should look at before training, in words, the most important first."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gcl.checks.copies import Copies
from gcl.checks.folder_check import FolderCheck
from gcl.checks.groups import GROUPS, Group
from gcl.checks.probe import Telling
from gcl.sources.folder import FEWEST_TO_TEST

OFTEN = 0.7
"""The balanced accuracy from which on a difference is worth a look; smaller ones stand in the table only."""

MANY_COPIES = 0.05
"""The share of a split from which on copies in it are worth a look; fewer stand in the table only."""

MOST_ALIKE = 0.5
"""The share of a split from which on copies in it are more than a few that slipped in."""

UNEVEN = 3
"""How many times as many training images one domain may have as the other."""

FEW_TO_TRAIN = 50
FEW_TO_TEST = 50
"""Fewer images than these, in one domain, are worth a look."""

ALIKE = (
    "Photographs of one place by one camera belong in one split; drawings of one kind may look alike without being "
    "copies."
)
"""What is said of look-alikes in training and tests."""

BORDER_COLOURS = ("border_red", "border_green", "border_blue")

MAY_BE_THE_TASK = "If that is what you want to change, all is well. If not:"
AT_THE_EDGE = (
    "Brightness and colour of the inside differ too, so this may be the same difference, seen at the edge; look at "
    "some borders. If they differ by themselves:"
)
"""What is said before the advice where a difference may not need it."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at: what it is, the files it is about if it is about some, and what to do."""

    headline: str
    advice: str
    files: list[str] = field(default_factory=list)


SINGLE_IMAGE = Finding(
    "One picture of each domain: the single-image case, a model for these two only.",
    "gcl preset single_image has the settings for it.",
)


def findings(check: FolderCheck) -> list[Finding]:
    """All findings, the most important first; empty if all is well."""
    if check.single_image:
        return [*_unusable(check), *_copies_between(check), SINGLE_IMAGE]
    return [*_refused(check), *_copies_between(check), *_differences(check), *_copies_within(check), *_numbers(check)]


def telling(most: Telling) -> str:
    """The number that tells most, with its means: "brightness: on average 120 of 255 in A, 60 of 255 in B"."""
    unit, (of_a, of_b) = most.number.unit, map(_mean, (most.mean_a, most.mean_b))
    return f"{most.number.words}: on average {of_a}{unit} in A, {of_b}{unit} in B"


def _mean(value: float) -> str:
    """``value`` to three digits, or from 100 up as a whole number."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


# --- what prepare will say -----------------------------------------------------------------------------------------


def _refused(check: FolderCheck) -> Iterator[Finding]:
    for split in check.splits:
        fewest = FEWEST_TO_TEST if split.startswith("test") else 1
        held_back = ""
        if split.startswith("train") and f"test{split[-1]}" not in check.splits:
            fewest += FEWEST_TO_TEST
            held_back = f", {FEWEST_TO_TEST} of them to hold back for tests"
        if len(check.of(split)) < fewest:
            number = len(check.of(split)) or "no"
            headline = (
                f"{split}: {number} usable {'image' if number == 1 else 'images'}, at least {fewest} needed{held_back}."
            )
            yield Finding(headline, "gcl prepare refuses the folder until there are more.")
    yield from _unusable(check)


def _unusable(check: FolderCheck) -> Iterator[Finding]:
    if check.unusable:
        number = len(check.unusable)
        yield Finding(
            f"{number} {'file' if number == 1 else 'files'} cannot be used.",
            "Replace it."
            if check.single_image
            else "gcl prepare stops at the first one. Remove or replace them, or set data.on_bad_image: skip.",
            [f"{file.split}/{file.name}: {file.reason}" for file in check.unusable],
        )


# --- copies --------------------------------------------------------------------------------------------------------


def _copies_between(check: FolderCheck) -> Iterator[Finding]:
    for found in check.copies:
        if found.where == found.of:
            continue
        if not found.where.startswith("test"):
            leak, advice = "", "Remove each from the domain where it is wrong; if it is right in both, from training."
        elif found.exact:
            leak, advice = ", which invalidates the metrics", f"Remove them from one of the two. {ALIKE}"
        else:
            leak, advice = "", f"If they show the same thing, the metrics are flattered: remove them. {ALIKE}"
        yield Finding(f"{_told(found)}{leak}.", advice, _pairs(found))


def _copies_within(check: FolderCheck) -> Iterator[Finding]:
    to_hold_back = [split for split in ("trainA", "trainB") if f"test{split[-1]}" not in check.splits]
    many = [
        found
        for found in check.copies
        if found.where == found.of and (found.of in to_hold_back or len(found.copies) >= MANY_COPIES * found.images)
    ]
    if not many:
        return
    advice = "Keep one of each. Images with copies are trained on more often, and count more often in the metrics."
    if any(found.of in to_hold_back for found in many):
        advice += " Test images that are held back would have copies in training, which invalidates the metrics."
    if any(len(found.copies) > MOST_ALIKE * found.images for found in many):
        advice += " Most images look alike, as the frames of one video do: take fewer of them, further apart."
    pairs = [pair for found in many for pair in _pairs(found)]
    yield Finding(f"{'; '.join(map(_told, many))}.", advice, pairs)


def _told(found: Copies) -> str:
    other = "another one there" if found.where == found.of else f"one in {found.of}"
    look = "looks" if len(found.copies) == 1 else "look"
    same = f" ({found.exact} with the same pixels)" if found.exact else ""
    return f"{len(found.copies)} of {found.images} images of {found.where} {look} like {other}{same}"


def _pairs(found: Copies) -> list[str]:
    """The copies and what they repeat, those with the same pixels first."""
    exact_first = sorted(found.copies, key=lambda copy: not copy.exact)
    return [f"{copy.image} {'=' if copy.exact else '~'} {copy.original}" for copy in exact_first]


# --- what tells A from B -------------------------------------------------------------------------------------------


def _differences(check: FolderCheck) -> Iterator[Finding]:
    """Those that no task is about come first, and a border that differs as the whole image does comes last."""
    probes = {probe.name: probe for probe in check.probes}
    groups = [group for group in GROUPS if probes[group.name].tells and probes[group.name].accuracy >= OFTEN]
    colour_tells = any(group.name == "colour" for group in groups)

    def doubt(group: Group) -> str:
        if colour_tells and probes[group.name].most.number.name in BORDER_COLOURS:
            return AT_THE_EDGE
        return MAY_BE_THE_TASK if group.may_be_the_task else ""

    order = ("", MAY_BE_THE_TASK, AT_THE_EDGE)
    for group in sorted(groups, key=lambda group: (order.index(doubt(group)), -probes[group.name].accuracy)):
        probe, first = probes[group.name], doubt(group)
        told = f"{group.words.capitalize()} alone told A from B for {100 * probe.accuracy:.0f} of 100 images"
        advice = f"{first} {group.advice[0].lower()}{group.advice[1:]}" if first else group.advice
        yield Finding(f"{told} ({telling(probe.most)}).", advice)


# --- how many ------------------------------------------------------------------------------------------------------


def _numbers(check: FolderCheck) -> Iterator[Finding]:
    trained = [(len(check.of(split)), split) for split in ("trainA", "trainB")]
    for number, split in trained:
        if 0 < number < FEW_TO_TRAIN:
            yield Finding(
                f"{split} has only {number} usable {'image' if number == 1 else 'images'}.",
                "A network learns so few by heart. Add more, or keep discriminator.augment on and train.steps low.",
            )
    (few, fewer), (many, more) = sorted(trained)
    if few and many >= UNEVEN * few:
        yield Finding(
            f"{more} has {many} images and {fewer} only {few}.",
            f"Training draws both domains equally often, so that each image of {fewer} is seen "
            f"{many / few:.0f} times as often as one of {more}. Add images to {fewer}.",
        )
    for split in check.splits:
        number = len(check.of(split))
        if split.startswith("test") and FEWEST_TO_TEST <= number < FEW_TO_TEST:
            yield Finding(
                f"{split} has only {number} images.",
                "KID and FID of so few vary much with the choice of images. Move some over from training.",
            )
