"""Reads params.yaml into gcl.config; every mistake is reported with its file, key and value."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gcl import config
from gcl.config import Params, Section
from gcl.contrast.methods import check_method
from gcl.errors import UserError
from gcl.networks.discriminators import check_discriminator
from gcl.sources.public_datasets import check_source
from pipeline.variant_params import variant_of

RENAMED = {"data.size": "data.image_size"}
"""The keys of earlier versions, and their present names."""


def read_params(path: Path) -> Params:
    """Reads and checks the whole file; UserError lists every wrong key and value."""
    return _located(parse_params(read_mapping(path), path))


def read_mapping(path: Path) -> dict:
    """The raw contents of a YAML file; UserError if it is missing, not YAML or not a mapping."""
    try:
        contents = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; run this in the project's folder or name a file: --params FILE"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(contents, dict):
        raise UserError(f"{path}: expected sections with keys, found {type(contents).__name__}")
    return contents


def parse_params(contents: dict, path: Path) -> Params:
    """Checks ``contents`` and returns them as parameters; UserError, which names ``path``, if they are not valid."""
    try:
        params = Params.model_validate(contents)
    except ValidationError as error:
        raise _located_error(error, f"{path}") from error
    _check(params, f"{path}")
    for name in params.ablate.variants:
        try:
            variant = variant_of(params, name)
        except ValidationError as error:
            raise _located_error(error, f"{path}: ablate.variants.{name}") from error
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        _check(variant, f"{path}: ablate.variants.{name}")
    return params


def repository_root() -> Path:
    """The original repository, even inside the clone of a DVC experiment; without DVC, the working directory."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def flatten(sections: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"graph": {"hops": 2}}`` -> ``{"graph.hops": 2}``."""
    flat: dict[str, Any] = {}
    for key, value in sections.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _check(params: Params, place: str) -> None:
    """UserError, which begins with ``place``, for an unknown name or a layer that a network does not have."""
    try:
        check_source(params.data.source)
        check_method(params)
        check_discriminator(params.discriminator, params.train.crop_size)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _located(params: Params) -> Params:
    """In a DVC experiment, paths become those of the original repository: clones lack files unknown to git."""
    if "DVC_ROOT" not in os.environ:
        return params
    sections = {}
    for name, section in params:
        if not isinstance(section, Section):
            continue
        paths = {key: repository_root() / value for key, value in section if isinstance(value, Path)}
        sections[name] = section.model_copy(update=paths)
    return params.model_copy(update=sections)


def _located_error(error: ValidationError, place: str) -> UserError:
    # A misspelt key is reported as missing too, so the suggestion for it comes first.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] == "missing")
    return UserError("\n".join(f"{place}: {_explain(problem, error.title)}" for problem in problems))


def _explain(problem: dict, title: str) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if key in RENAMED:
        return f"{key}: this key is called {RENAMED[key]} now"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_allowed_keys(problem['loc'], title)}"
    if problem["type"] == "missing":
        return f"{key}: key is missing; the params.yaml that came with the project shows its default"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return f"{key} = {problem['input']}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _allowed_keys(location: tuple, title: str) -> str:
    model = getattr(config, title)
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    names = list(model.model_fields)
    close = get_close_matches(str(location[-1]), names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}allowed: {', '.join(names)}"
