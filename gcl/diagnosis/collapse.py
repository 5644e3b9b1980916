"""Whether all inputs get the same translation: mode collapse."""

from gcl.diagnosis.evidence import Evidence
from gcl.diagnosis.yardsticks import difference


def variety(evidence: Evidence) -> float | None:
    """The difference between two translations, divided by that between two inputs or two real images of B, whichever
    is smaller; None if the inputs do not differ."""
    differences = [difference(evidence.inputs), difference(evidence.real) or float("inf")]
    return difference(evidence.translations) / min(differences) if differences[0] else None
