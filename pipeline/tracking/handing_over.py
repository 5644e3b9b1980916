"""The trained generator as a model of MLflow, which loads, serves and registers it as ``runs:/RUN_ID/generator``.

It is made as a local folder, whose files are then logged like any others: what a store misses is replayed later.
"""

import base64
import logging
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from modulefinder import ModuleFinder
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, Schema
from PIL import Image

import gcl
from gcl.config import Checkpoint
from gcl.networks.model_card import model_card
from gcl.networks.model_folder import GENERATORS, read_description
from pipeline.console import announce
from pipeline.tracking.run import TrackedRun
from pipeline.tracking.store import first_line

# It says at INFO that it checks the example.
logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)

NAME = "generator"
"""The artifact folder of the model."""

ROOT = Path(gcl.__file__).parents[1]
"""The folder that holds the package gcl."""

LOADER = "gcl.exchange.translator"
"""The module with the model's code."""

REQUIREMENTS = ("filelock", "jinja2", "mlflow", "numpy", "pillow", "pydantic", "safetensors", "torch", "torchvision")
"""The packages that the code of LOADER needs, and MLflow to load it."""

# With a type for its inputs the model would only accept one kind of them; without, MLflow passes on any.
SIGNATURE = ModelSignature(outputs=Schema([ColSpec(AnyType(), "translation")]))


def hand_over(run: TrackedRun, model: Path, checkpoint: Checkpoint, tested: Sequence[Mapping[str, Any]] = ()) -> None:
    """Logs a checkpoint of the generator in the folder ``model``, ready to be served; any failure is only a warning.

    ``tested`` are the rows of evaluation.json of that checkpoint, for the model card.
    """
    try:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch, NAME)
            save_pyfunc(model, checkpoint, tested, folder)
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                run.log_file(path, (NAME / path.relative_to(folder)).parent.as_posix())
    # Whatever is amiss here, the run is worth more.
    except Exception as error:
        announce(f"warning: the generator was not handed over to MLflow, the run itself goes on: {first_line(error)}")


def save_pyfunc(model: Path, checkpoint: Checkpoint, tested: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Writes the folder ``target``: a generator of the folder ``model``, with the code and packages that it needs."""
    with TemporaryDirectory() as scratch:
        weights, code = Path(scratch, "weights"), Path(scratch, "gcl")
        weights.mkdir()
        shutil.copyfile(model / GENERATORS[checkpoint], weights / GENERATORS["last"])
        shutil.copyfile(model / "model.json", weights / "model.json")
        card = model_card(read_description(model), tested, checkpoint, alone=True)
        (weights / "README.md").write_text(card, encoding="utf-8")
        for file in _code_of_loader():
            copy = Path(scratch, file.relative_to(ROOT))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        mlflow.pyfunc.save_model(
            target,
            loader_module=LOADER,
            data_path=weights,
            code_paths=[str(code)],
            signature=SIGNATURE,
            input_example=_example(),
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
        )


def _code_of_loader() -> list[Path]:
    """The files of gcl that LOADER imports, directly or not, and LOADER itself."""
    finder = ModuleFinder(path=[str(ROOT)])
    finder.import_hook(LOADER)
    # Modules that are built into Python have no file.
    return [Path(module.__file__) for module in finder.modules.values() if module.__file__]


def _example() -> str:
    """A gray PNG as base64 text."""
    content = BytesIO()
    Image.new("RGB", (64, 64), "gray").save(content, format="PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
