"""Scores a folder of translations by every metric that the other folders allow, beside its yardsticks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gcl.config import EvaluateConfig
from gcl.errors import UserError
from gcl.images.file_lists import readable
from gcl.measures.evaluation_context import Context
from gcl.measures.evaluation_rows import Row
from gcl.measures.verdict import Verdict, is_judged, verdict_on
from gcl.scoring.decoded_copies import Copy, copy_decoded
from gcl.scoring.named_images import named_images, unpaired_images
from gcl.scoring.pairing import pair
from gcl.scoring.plain_folders import PlainFolders
from gcl.scoring.scored_rows import measurable, scored_rows
from gcl.sources.folder import Track

OUTPUTS, REAL, INPUT, TRUTH, OTHER_REAL = "outputs", "real", "input", "truth", "other-real"
"""What messages call the folders: the outputs and, as on the command line, the others."""

FEWEST = "comparing sets of images takes at least two outputs and two real images"

SIZE_ADVICE, OWN_SIZE_ADVICE = "data.image_size gives all images one shorter side", "resize them alike first"
"""What a measurement advises if images differ in size, and what a score does."""


class Score(NamedTuple):
    """The rows of evaluation.json, each with its ``interval``; the verdict, or None without a metric that is judged;
    and notes for people."""

    rows: list[Row]
    verdict: Verdict | None
    notes: list[str]


def score(folders: Mapping[str, Path], config: EvaluateConfig, device: str, track: Track) -> Score:
    """Measures the images in the folder OUTPUTS against those in REAL and, where given, INPUT, TRUTH and OTHER_REAL.

    Outputs pair with inputs and true translations by name. Those that lack a partner are left out of all metrics, so
    that all values, and those of doing nothing, are of the same images. Inputs and true translations of another size
    are resized to that of their outputs. Metrics of sets need at least two images on both sides.

    ``track`` may show the progress. The folders are only read: metrics look at copies in a temporary folder. UserError
    if a folder is missing or empty, if an image cannot be used, or if nothing pairs or can be measured.
    """
    with TemporaryDirectory(prefix="gcl-score-") as scratch:
        copied, notes = _copied(folders, Path(scratch), track)
        copies = {name: Path(scratch, name) for name in copied}
        against_real = _context(copies, REAL, config, device)
        against_truth = _context(copies, TRUTH, config, device) if TRUTH in copies else None
        measured = measurable(against_real, against_truth)
        if not measured:
            raise UserError(f"nothing can be measured: {FEWEST}")
        originals = {f"{name}/{copy.copy.name}": copy.path for name in copied for copy in copied[name]}
        measuring = track(scored_rows(measured), "measuring", len(measured))
        rows = [{**row, "note": row["note"] and _retold(row["note"], originals)} for row in measuring]
    verdict = verdict_on(rows) if any(map(is_judged, rows)) else None
    return Score(rows, verdict, [*notes, *_explained(rows, verdict)])


def _copied(folders: Mapping[str, Path], scratch: Path, track: Track) -> tuple[dict[str, list[Copy]], list[str]]:
    """Writes copies of the images to be measured to folders in ``scratch``; also returns notes on what was found."""
    images, notes = {}, []
    for name, folder in folders.items():
        images[name], found = unpaired_images(folder) if name in (REAL, OTHER_REAL) else named_images(folder)
        notes += [f"{name}: {note}" for note in found]
    partners = {name: images[name] for name in (INPUT, TRUTH) if name in images}
    common, images[OUTPUTS], left_out = pair(images[OUTPUTS], partners)
    # Of each pair, both copies get one number. The order is that of the files in an evaluation.
    common.sort(key="{}.png".format)
    for name in (OUTPUTS, *partners):
        images[name] = {key: images[name][key] for key in common}
    copied: dict[str, list[Copy]] = {}
    notes += left_out
    # The outputs come first, because their sizes decide those of their partners.
    for name in (OUTPUTS, *(name for name in images if name != OUTPUTS)):
        sizes = [copy.size for copy in copied[OUTPUTS]] if name in partners else None
        copied[name], told = copy_decoded(name, images[name], scratch / name, track, sizes)
        notes += told
    return copied, [*notes, *_jpegs(copied)]


def _jpegs(copied: Mapping[str, Sequence[Copy]]) -> list[str]:
    """A note on the folders that hold JPEG, whatever the files' names say."""
    counts = {name: sum(copy.is_jpeg for copy in copies) for name, copies in copied.items()}
    listed = [f"{count} of {len(copied[name])} in {name}" for name, count in counts.items() if count]
    return [f"lossy compression changes FID and KID, and these are JPEG: {', '.join(listed)}"] if listed else []


def _context(copies: Mapping[str, Path], compared: str, config: EvaluateConfig, device: str) -> Context:
    """What metrics share that compare with the folder ``compared``, REAL or TRUTH."""
    splits = {"testA": INPUT, "testB": compared, "trainB": OTHER_REAL}
    given = {split: copies[name] for split, name in splits.items() if name in copies}
    return Context(config, PlainFolders(given, copies[OUTPUTS], compared == TRUTH), copies[OUTPUTS], device)


def _retold(note: str, originals: Mapping[str, Path]) -> str:
    """``note`` on a measurement with the names of the originals instead of those of the copies, "FOLDER/NUMBER.png".

    Nobody who scores a folder needs the parameter by which ``gcl prepare`` resizes images.
    """
    named = re.sub(r"[\w-]+/\d+\.png", lambda copy: readable(originals[copy[0]]), note)
    return named.replace(SIZE_ADVICE, OWN_SIZE_ADVICE)


def _explained(rows: Sequence[Row], verdict: Verdict | None) -> list[str]:
    """Notes on what the values are worth; the verdict's own cautions are not repeated."""
    notes = [f"{row['name']}: {row['note']}" for row in rows if row["note"] and verdict is None]
    if not any(row["compares"] == "sets" for row in rows):
        notes.append(f"some metrics are left out: {FEWEST}")
    for scope in dict.fromkeys(row["scope"] for row in rows if row["scope"]):
        notes.append(f"the features of {_listed(row for row in rows if row['scope'] == scope)} are {scope}")
    if any(row["interval"] for row in rows):
        notes.append("the 95 % intervals say how much a value depends on which images were measured (bootstrap)")
    without = [row for row in rows if row["compares"] == "sets" and row["interval"] is None]
    if without:
        notes.append(f"no interval for {_listed(without)}: a set drawn anew holds images twice, which biases it")
    return notes


def _listed(rows: Iterable[Row]) -> str:
    return ", ".join(row["name"] for row in rows)
