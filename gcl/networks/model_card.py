"""The model card: what a model folder's README.md says of the model, for whoever it is handed to."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gcl.config import Checkpoint


def model_card(
    description: Mapping[str, Any],
    tested: Iterable[Mapping[str, Any]] = (),
    checkpoint: Checkpoint = "last",
    alone: bool = False,
) -> str:
    """The card, in Markdown, of the model with this ``description``, the contents of its model.json.

    ``tested`` are the rows of evaluation.json if translations of the test images by this ``checkpoint`` have been
    measured. If it is ``alone`` in the folder, the card says so.
    """
    environment = Environment(
        loader=PackageLoader("gcl.networks"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"code": _code, "number": _number}
    known = {key: description.get(key) for key in ("method", "data", "train", "checkpoints", "validation", "versions")}
    known |= {key: description.get(key) for key in ("generator", "origin", "start_from", "data_sha256")}
    known |= {"tested": list(tested), "checkpoint": checkpoint, "alone": alone}
    card = environment.get_template("model_card.md.j2").render(**known, lineage=list(_generations(description)))
    return card.rstrip() + "\n"


def _generations(description: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The models that this one started from, the youngest first."""
    while description := description.get("start_from"):
        yield description


def _code(value: object) -> str:
    """``value`` as a code span in one line, even in a table's cell."""
    return "`" + " ".join(str(value).replace("`", "'").replace("|", "/").split()) + "`"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
