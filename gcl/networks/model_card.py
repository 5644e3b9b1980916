"""The model card: what a model folder's README.md says of the model, for whoever it is handed to."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def model_card(description: Mapping[str, Any], tested: Iterable[Mapping[str, Any]] = ()) -> str:
    """The card, in Markdown, of the model with this ``description``, the contents of its model.json.

    ``tested`` are the rows of evaluation.json if the model's translations of the test images have been measured.
    """
    environment = Environment(
        loader=PackageLoader("gcl.networks"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"code": _code, "number": _number}
    known = {key: description.get(key) for key in ("method", "data", "train", "checkpoints", "validation", "versions")}
    known |= {key: description.get(key) for key in ("generator", "origin", "start_from", "data_sha256")}
    template = environment.get_template("model_card.md.j2")
    return template.render(**known, tested=list(tested), lineage=list(_generations(description))).rstrip() + "\n"


def _generations(description: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The models that this one started from, the youngest first."""
    while description := description.get("start_from"):
        yield description


def _code(value: object) -> str:
    """``value`` as a code span in one line, even in a table's cell."""
    return "`" + " ".join(str(value).replace("`", "'").replace("|", "/").split()) + "`"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
