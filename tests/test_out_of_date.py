"""What a changed file makes out of date in a real DVC repository: stages, and the finished seeds of the ablation."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.project import run

IMAGES_ON = {"prepare", "train", "translate", "evaluate", "report", "ablate", "compare"}

OUT_OF_DATE = {
    "gcl/contrast/adjacency.py": {"train", "report", "variants", "ablate", "compare"},
    "gcl/networks/weights/encoder.safetensors": IMAGES_ON - {"prepare"} | {"variants"},
    "gcl/training/trainer.py": {"train", "report", "ablate", "compare"},
    "pipeline/running/run_folder.py": {"train", "evaluate", "report", "ablate", "compare"},
    "gcl/diagnosis/grids.py": {"report"},
    "gcl/measures/metrics.py": {"evaluate", "report", "ablate", "compare"},
    "gcl/measures/validation.py": {"train", "evaluate", "report", "ablate", "compare"},
    "gcl/measures/weights/judge.safetensors": {"train", "evaluate", "report", "ablate", "compare"},
    "gcl/images/decoding.py": IMAGES_ON,
    "gcl/sources/drawn/scenes.py": {"prepare"},
    "pipeline/pages/templates/report.md.j2": {"report", "compare"},
    "pipeline/stages/compare.py": {"compare"},
    "pipeline/tracking/store.py": set(),
    "pipeline/console.py": set(),
    "pipeline/running/progress.py": set(),
    "pipeline/commands/stages.py": set(),
    "gcl/contrast/__pycache__/new.pyc": set(),
}
"""The stages that depend on a file; later stages follow if these write something else."""


@pytest.fixture(scope="module")
def out_of_date(project):
    """out_of_date() is the set of stages that DVC calls out of date; all variants of the ablation count as one."""
    with Repo(str(project)) as repo:

        def ask() -> set[str]:
            # A name is a path to dvc.yaml, a colon, the stage and, for a variant, @ and its name.
            return {name.rpartition(":")[2].partition("@")[0] for name in repo.status()}

        yield ask


@contextmanager
def changed(file: Path) -> Iterator[None]:
    """Inside the context, ``file`` has one more line; it is created if it did not exist."""
    before = file.read_bytes() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((before or b"") + b"\n")
    try:
        yield
    finally:
        file.unlink() if before is None else file.write_bytes(before)


def digest_of_ablation(project: Path) -> str:
    """The code's part in the fingerprint of a finished seed."""
    code = "from pipeline.running.code_that_counts import code_digest; print(code_digest('ablate'))"
    return run(f'{sys.executable} -c "{code}"', project)


@pytest.mark.parametrize("file", OUT_OF_DATE)
def test_a_changed_file_calls_these_stages_out_of_date(project, out_of_date, file):
    before = digest_of_ablation(project)
    with changed(project / file):
        assert out_of_date() == OUT_OF_DATE[file]
        # Finished seeds stay exactly where DVC does not run their stage again.
        assert (digest_of_ablation(project) != before) == ("ablate" in OUT_OF_DATE[file])
    assert out_of_date() == set()
