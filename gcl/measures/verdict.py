"""The verdict in words: whether the translations score better than doing nothing, the untranslated test images."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from gcl.measures.evaluation_rows import Row
from gcl.measures.rounding import shown

WORSE, BETTER, MIXED, SAME = "worse", "better", "mixed", "no different"


class Verdict(NamedTuple):
    """``word`` is WORSE, BETTER, MIXED or SAME, ``worse`` lists the metrics by which doing nothing is better, and
    ``sentence`` says all of this with the values."""

    word: str
    worse: list[str]
    sentence: str


def verdict_on(rows: Iterable[Row]) -> Verdict:
    """The verdict on one run, based on those of its ``rows`` that are judged."""
    judged = [row for row in rows if is_judged(row)]
    better, worse = [row for row in judged if gain(row) > 0], [row for row in judged if gain(row) < 0]
    word = (MIXED if worse else BETTER) if better else (WORSE if worse else SAME)
    sentence = {
        BETTER: f"Better than doing nothing: the translations score better than the untranslated test images by "
        f"{_listed(better)}.",
        WORSE: f"Worse than doing nothing: the untranslated test images score better than their translations by "
        f"{_listed(worse)}.",
        MIXED: f"Worse than doing nothing by some metrics: the untranslated test images score better than their "
        f"translations by {_listed(worse)}, and worse by {_listed(better)}.",
        SAME: "No different from doing nothing: no metric tells the translations from the untranslated test images.",
    }[word]
    told = [sentence, *_disagreement(better, worse), *_cautions(judged)]
    return Verdict(word, [row["name"] for row in worse], " ".join(told))


def is_judged(row: Row) -> bool:
    """Whether a metric can be better or worse than doing nothing: it has a better side and a yardstick, and does not
    mislead."""
    return row["better"] != "neither" and row["untranslated"] is not None and row["misleads"] is None


def gain(row: Row) -> float:
    """By how much the translations are better than the untranslated images; negative if they are worse."""
    difference = row["value"] - row["untranslated"]
    return -difference if row["better"] == "lower" else difference


def _disagreement(better: Sequence[Row], worse: Sequence[Row]) -> list[str]:
    """A sentence, if metrics that compare the same two sets disagree on whether the translations are better."""
    sides = [[row["name"] for row in rows if row["compares"] == "sets"] for rows in (better, worse)]
    return [f"{' and '.join(chain(*sides))} disagree: look at the pictures."] if all(sides) else []


def _cautions(judged: Sequence[Row]) -> list[str]:
    """One sentence for each note, with all the metrics that it belongs to."""
    named: dict[str, list[str]] = {}
    for row in judged:
        if row["note"]:
            named.setdefault(row["note"], []).append(row["name"])
    return [f"Beware of {' and '.join(names)}: {note}." for note, names in named.items()]


def _listed(rows: Sequence[Row]) -> str:
    named = [f"{row['name']} ({shown(row['value'])}, untranslated {shown(row['untranslated'])})" for row in rows]
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))
