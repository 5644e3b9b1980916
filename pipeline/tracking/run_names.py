"""The names of runs: the variant or the changed parameters, and the seed."""

import os
import subprocess
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gcl.config import MAIN, Params
from gcl.contrast.methods import read_by_training
from gcl.errors import UserError
from pipeline.params import flatten, parse_params, repository_root
from pipeline.variant_params import variant_of, with_seed, written

PARAMS = "params.yaml"

MOST_NAMED = 3
"""The number of changes that a name lists; further ones are only counted."""


def run_name(params: Params, variant: str) -> str:
    """A name such as ``graph.pooling=false, seed 0 (gouty-boss)``, or ``main, seed 0`` if nothing was changed.

    Changes are relative to the params.yaml in git: at the commit that a DVC experiment starts from, or else at HEAD.
    """
    changes = _changes(params, variant)
    shown = [f"{key}={value}" for key, value in list(changes.items())[:MOST_NAMED]]
    more = [f"{len(changes) - MOST_NAMED} more"] if len(changes) > MOST_NAMED else []
    named = [] if variant == MAIN and changes else [variant]
    experiment = os.environ.get("DVC_EXP_NAME")
    name = ", ".join([*named, *shown, *more, f"seed {params.train.seed}"])
    return f"{name} ({experiment})" if experiment else name


def _changes(params: Params, variant: str) -> dict[str, str]:
    """The parameters that differ from this variant of the baseline, except the seed, written as DVC accepts them."""
    baseline = _baseline()
    if baseline is None:
        return {}
    try:
        before = baseline if variant == MAIN else variant_of(baseline, variant)
    except (KeyError, UserError, ValidationError):
        return {}
    old, new = (_written(version) for version in (with_seed(before, params.train.seed), params))
    return {key: value for key, value in new.items() if key in old and value != old[key]}


def _baseline() -> Params | None:
    """The parameters in git; None without git, without the file in it, or if this version cannot read it."""
    revision = os.environ.get("DVC_EXP_BASELINE_REV") or "HEAD"
    try:
        answer = subprocess.run(["git", "show", f"{revision}:./{PARAMS}"], capture_output=True, text=True, check=True)
        return parse_params(YAML(typ="safe").load(answer.stdout), Path(PARAMS))
    except (OSError, subprocess.CalledProcessError, YAMLError, UserError):
        return None


def _written(params: Params) -> dict[str, str]:
    """The parameters that a run reads, each value written as ``dvc exp run -S`` accepts it."""
    # In DVC experiments, paths were made absolute in the original repository.
    root = f"{repository_root()}/"
    return {key: written(value).removeprefix(root) for key, value in flatten(read_by_training(params)).items()}
