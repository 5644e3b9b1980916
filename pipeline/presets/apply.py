"""Presets, written into params.yaml by one command: for pictures of one's own, and the published setting."""

from io import BytesIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from gcl.errors import UserError
from gcl.files import write_whole
from gcl.sources.public_datasets import DATASETS
from pipeline.console import announce
from pipeline.params import parse_params, read_params

PUBLISHED = Path(__file__).parent / "published.yaml"
OWN = [Path(__file__).parent / file for file in ("photographs.yaml", "single_image.yaml")]
"""The presets for pictures of one's own."""

NULL = "tag:yaml.org,2002:null"


def preset_names() -> list[str]:
    """The names of all presets: those for pictures of one's own, and one per public data set."""
    return list(_files())


def list_presets() -> None:
    """Prints what presets are, and all their names."""
    for file in (*OWN, PUBLISHED):
        announce(file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "))
        for name in preset_names():
            if _files()[name] == file:
                announce(f"  {name}")


def _files() -> dict[str, Path]:
    """The file of every preset, by its name."""
    return {file.stem: file for file in OWN} | dict.fromkeys(sorted(DATASETS), PUBLISHED)


def apply_preset(name: str, path: Path) -> None:
    """Changes the preset's keys in the file at ``path`` and keeps its other keys, order and comments.

    UserError if there is no such preset or the result would not be valid; the file is then unchanged.
    """
    if name not in _files():
        raise UserError(f"there is no preset {name}; choose from {', '.join(preset_names())}")
    yaml = YAML()
    yaml.width = 200
    # By default ruamel writes an empty value for null.
    yaml.representer.add_representer(type(None), lambda writer, _: writer.represent_scalar(NULL, "null"))
    read_params(path)
    params = yaml.load(path)
    preset = YAML(typ="safe").load(_files()[name])
    params["data"]["source"] = name
    for section, values in preset.items():
        if isinstance(values, dict):
            for key, value in values.items():
                _replace(params[section], key, value)
        else:
            params[section] = values
    parse_params(params, path)
    text = BytesIO()
    yaml.dump(params, text)
    write_whole(path, text.getvalue())
    announce(f"{path}: preset {name} applied; git diff {path} shows what changed")


def _replace(section: dict, key: str, value: object) -> None:
    """Sets ``section[key]``; lists are changed in place, or begun in one line, to keep the comments."""
    if not isinstance(value, list):
        section[key] = value
        return
    if not isinstance(section[key], list):
        section[key] = CommentedSeq()
        section[key].fa.set_flow_style()
    section[key][:] = value
