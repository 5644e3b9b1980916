"""The table of symptoms, and the diagnosis that looks for all of them.

A new symptom is a function from the evidence to a number, and a row here. The thresholds were chosen between runs in
which a symptom is seen by eye and runs in which it is not, on five kinds of images.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gcl.diagnosis.changes import COPIED, beyond_colours, change
from gcl.diagnosis.collapse import variety
from gcl.diagnosis.evidence import Evidence
from gcl.diagnosis.grids import grid
from gcl.diagnosis.spots import burnt_out, same_spot

LOWER, RAISE = "lower", "raise"

WEIGHT = "weight"
"""The key of the method's own section, which differs from method to method."""


@dataclass(frozen=True)
class Symptom:
    """One thing that can go wrong.

    Attributes:
        name: what it is called.
        quantity: what is measured.
        measure: measures it; None where the evidence says nothing about it.
        found: on which side of the ``threshold`` it is found.
        meaning: what it means, as a sentence.
        turns: what to turn in params.yaml: by key, LOWER, RAISE or the value to set, as params.yaml spells it.
    """

    name: str
    quantity: str
    measure: Callable[[Evidence], float | None]
    found: Literal["below", "above"]
    threshold: float
    meaning: str
    turns: Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """A symptom with the ``value`` that was measured; None if it could not be measured."""

    symptom: Symptom
    value: float | None

    @property
    def found(self) -> bool:
        """Whether the value lies on the wrong side of the threshold."""
        if self.value is None:
            return False
        below = self.value < self.symptom.threshold
        return below if self.symptom.found == "below" else not below

    def advice(self, params: Mapping[str, str], section: str) -> list[str]:
        """What to turn, as Markdown, without what is set so already.

        ``params`` are the values by key, as params.yaml spells them; ``section`` is that of the method.
        """
        turns = {f"{section}.{key}" if key == WEIGHT else key: turn for key, turn in self.symptom.turns.items()}
        wanted = {key: _beside(turn, params[key]) for key, turn in turns.items()}
        return [_told(key, turn, params[key]) for key, turn in wanted.items() if not _done(turn, params[key])]


def _beside(turn: str, now: str) -> str:
    """A list to set, with what it has ``now`` and in that order; anything else as it is."""
    if not turn.startswith("["):
        return turn
    there = json.loads(now) if now.startswith("[") else []
    return json.dumps(there + [item for item in json.loads(turn) if item not in there])


def _told(key: str, turn: str, now: str) -> str:
    words = f"{turn} `{key}`" if turn in (LOWER, RAISE) else f"set `{key}` to `{turn}`"
    return f"{words} (now `{now}`)"


def _done(turn: str, now: str) -> bool:
    return now == turn or (turn == LOWER and float(now) == 0)


def diagnose(evidence: Evidence) -> list[Finding]:
    """Looks for all symptoms; those that were found come first."""
    findings = [Finding(symptom, symptom.measure(evidence)) for symptom in SYMPTOMS]
    return sorted(findings, key=lambda finding: not finding.found)


def _saturated_share(evidence: Evidence) -> float:
    """The share of the curves' rows in which the discriminator's loss is below its limit."""
    return float((evidence.discriminator < evidence.saturated).mean())


SYMPTOMS: Sequence[Symptom] = (
    Symptom(
        "copies of the input",
        "change from input to translation, relative to the difference between two inputs",
        change,
        found="below",
        threshold=COPIED,
        meaning="The translations are nearly their inputs.",
        turns={WEIGHT: LOWER, "generator.residual": "false", "train.steps": RAISE},
    ),
    Symptom(
        "only colours changed",
        "share of the translations' contrast that no map from the input's colours to the translation's explains",
        beyond_colours,
        found="below",
        threshold=0.12,
        meaning="The translations have other colours than their inputs, and nothing else is new.",
        turns={
            WEIGHT: LOWER,
            "discriminator.name": "projected",
            "discriminator.augment": '["color", "translation"]',
            "train.steps": RAISE,
        },
    ),
    Symptom(
        "one translation for all",
        "difference between two translations, relative to that between two inputs or two real images of B",
        variety,
        found="below",
        threshold=0.33,
        meaning="Different inputs get nearly the same translation (mode collapse).",
        turns={WEIGHT: RAISE, "discriminator.r1": RAISE, "train.generator_lr": LOWER, "train.steps": RAISE},
    ),
    Symptom(
        "pixel grid",
        "decibels by which a pattern of 2, 4 or 8 pixels stands out more than in inputs and real B",
        grid,
        found="above",
        threshold=1.0,
        meaning="The translations have a checkerboard or a grid of single pixels.",
        turns={"generator.resampling": "blur", "train.average_decay": RAISE, "train.steps": RAISE},
    ),
    Symptom(
        "the same spot everywhere",
        "share of the picture that looks the same in every translation, but not in inputs and real B",
        same_spot,
        found="above",
        threshold=0.005,
        meaning="A spot has the same place and colour in every translation, whatever the input shows there.",
        turns={WEIGHT: RAISE, "generator.residual": "true", "discriminator.r1": RAISE},
    ),
    Symptom(
        "burnt-out patches",
        "share of the picture that is saturated beyond inputs and real B",
        burnt_out,
        found="above",
        threshold=0.01,
        meaning="Patches of the translations have colours at the very end of the scale, where all detail is lost.",
        turns={WEIGHT: RAISE, "train.generator_lr": LOWER, "discriminator.r1": RAISE, "train.average_decay": RAISE},
    ),
    Symptom(
        "saturated discriminator",
        "share of the training in which the discriminator's loss was too low to teach the generator anything",
        _saturated_share,
        found="above",
        threshold=0.1,
        meaning="The discriminator told real from translated too easily, and the generator learned nothing from it.",
        turns={
            "train.discriminator_lr": LOWER,
            "discriminator.augment": '["color", "translation"]',
            "discriminator.r1": RAISE,
        },
    ),
)
