"""What dvc.lock tells of a run: whether its metrics are those of its parameters, and from which data and code."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.params import flatten
from pipeline.running.code_that_counts import PACKAGES
from pipeline.sweeps.runs import same_form

LOCK = Path("dvc.lock")

MEASURED_BY = ("prepare", "train", "translate", "evaluate")
"""The stages that lead to the metrics."""

DATA = "data/prepared"


class Lock:
    """What the stages in MEASURED_BY last ran with, as the dvc.lock of a ``revision`` has it; None for the file here.

    Without the file, or if it is damaged, it tells of no stage.
    """

    def __init__(self, revision: str | None):
        contents = _contents(revision)
        self._readable, stages = bool(contents), contents.get("stages", {})
        self._stages = {name: stages[name] for name in MEASURED_BY if name in stages}

    def why_not_made_with(self, params: Mapping[str, Any]) -> str | None:
        """Why the metrics may not be those of these flat ``params``, in Markdown; None if they are: no stage ran with
        other ones, or was followed by a later run of a stage that it depends on."""
        if not self._readable:
            return "no `dvc.lock`, or a damaged one, so nothing tells which parameters its metrics are of"
        if "evaluate" not in self._stages:
            return "by its `dvc.lock`, `evaluate` has never run"
        return self._other_value(params) or self._later_run()

    @property
    def data(self) -> str | None:
        """The hash of the images on which the metrics were measured, if DVC knows it."""
        return self._hashes("deps", "evaluate").get(DATA)

    @property
    def code(self) -> dict[str, str]:
        """The hashes of the code that made the metrics, by file or folder."""
        return {path: digest for path, digest in self._hashes("deps").items() if path.split("/")[0] in PACKAGES}

    def _other_value(self, params: Mapping[str, Any]) -> str | None:
        for name, stage in self._stages.items():
            for key, value in flatten(stage.get("params", {}).get("params.yaml", {})).items():
                if same_form(params.get(key)) != same_form(value):
                    return f"by its `dvc.lock`, `{name}` ran with another value of `{key}`"
        return None

    def _later_run(self) -> str | None:
        for later in self._stages:
            written = self._hashes("outs", later)
            for name in self._stages:
                if any(written.get(path, digest) != digest for path, digest in self._hashes("deps", name).items()):
                    return f"by its `dvc.lock`, `{later}` ran again after `{name}`"
        return None

    def _hashes(self, kind: str, *names: str) -> dict[str, str]:
        """The hashes of the ``outs`` or ``deps`` of the stages with these names, of all by default, by path."""
        stages = [stage for name, stage in self._stages.items() if not names or name in names]
        return {entry["path"]: entry["md5"] for stage in stages for entry in stage.get(kind, ()) if "md5" in entry}


def _contents(revision: str | None) -> dict[str, Any]:
    try:
        if revision is None:
            text = LOCK.read_text(encoding="utf-8")
        else:
            shown = subprocess.run(["git", "show", f"{revision}:./{LOCK}"], capture_output=True, text=True, check=True)
            text = shown.stdout
        contents = YAML(typ="safe", pure=True).load(text)
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError, YAMLError):
        return {}
    return contents if isinstance(contents, dict) else {}
