"""The types of the values in params.yaml, each with the range outside which nothing could run."""

from os.path import expanduser
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

MOST_PROCESSES = 1024
"""The most processes on one machine, and also the most machines."""


def _no_truth_value(number: object) -> object:
    if isinstance(number, bool):
        raise PydanticCustomError("truth_value", "Input should be a number")
    return number


def _count_or_auto(devices: object) -> object:
    if devices == "auto" or (type(devices) is int and 1 <= devices <= MOST_PROCESSES):
        return devices
    raise ValueError(f"train.devices = {devices}: must be a whole number from 1 to {MOST_PROCESSES}, or auto")


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Real = Annotated[float, BeforeValidator(_no_truth_value)]

Steps = Annotated[Whole, Field(ge=1, le=10**9)]
Images = Annotated[Whole, Field(ge=1, le=10**6)]
Pixels = Annotated[Whole, Field(ge=16, le=2**14)]
Width = Annotated[Whole, Field(ge=1, le=2**12)]
"""The size of a batch or the width of a layer."""
Patches = Annotated[Whole, Field(ge=1, le=2**16)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Nodes = Annotated[Whole, Field(ge=1, le=MOST_PROCESSES)]
Devices = Annotated[int | Literal["auto"], BeforeValidator(_count_or_auto)]

Weight = Annotated[Real, Field(ge=0)]
Gigabytes = Annotated[Real, Field(gt=0)]
Temperature = Annotated[Real, Field(gt=0)]
Decay = Annotated[Real, Field(ge=0, lt=1)]
Rate = Annotated[Real, Field(gt=0, le=1)]
Share = Annotated[Real, Field(gt=0, le=1)]

File = Annotated[Path, AfterValidator(Path.expanduser)]
FileOrAddress = Annotated[str, AfterValidator(expanduser)]
