"""A generator as one ONNX file for images of any number and size, checked against torch before it is written."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.export import Dim

from gcl.errors import UserError
from gcl.files import write_whole
from gcl.networks import Generator
from gcl.translation import smallest_side

TOLERANCE = 1e-4
"""How far an output in [-1, 1] of the ONNX file may be from torch's."""

CHECKED = ((1, 2, 2), (3, 4, 9), (2, 16, 5), (1, 24, 32))
"""Images, and rows and columns in multiples of the smallest side, that a file is checked with."""


def export_onnx(generator: Generator, target: Path) -> float:
    """Writes ``generator`` to ``target`` and returns how far its outputs are from torch's at most.

    The input ``image`` and the output ``translated`` are float32 (B, 3, H, W) in [-1, 1], H and W multiples of the
    stride; the file's metadata say so. UserError, and nothing written, for a name that does not end in .onnx and for
    outputs more than ``TOLERANCE`` apart.
    """
    if target.suffix != ".onnx":
        raise UserError(f"{target}: the name of an ONNX file ends in .onnx")
    content = _converted(generator)
    difference = _largest_difference(generator, content)
    if not difference <= TOLERANCE:
        raise UserError(f"{target}: not written, since its outputs differ by {difference:.2g} from the model's")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content)
    return difference


def _converted(generator: Generator) -> bytes:
    """The contents of the ONNX file."""
    stride, smallest = generator.stride, smallest_side(generator)
    rows, columns = (stride * Dim(name, min=smallest // stride) for name in ("h", "w"))
    program = torch.onnx.export(
        # Channels last, the number of images would be taken for a constant.
        generator.cpu().to(memory_format=torch.contiguous_format).eval(),
        # Sizes that are alike, or as small as can be, would be taken for constants.
        (torch.zeros(2, 3, 4 * smallest, 5 * smallest),),
        dynamo=True,
        dynamic_shapes=({0: Dim("batch"), 2: rows, 3: columns},),
        input_names=["image"],
        output_names=["translated"],
        verbose=False,
    )
    # Where the source code lay on this machine.
    for node in program.model.graph:
        node.metadata_props.clear()
    program.model.metadata_props.update(
        {
            "layout": "float32 RGB, (batch, 3, height, width)",
            "input_range": "[-1, 1]",
            "output_range": "[-1, 1]",
            "size": f"height and width multiples of {stride}, at least {smallest}",
        }
    )
    return program.model_proto.SerializeToString()


def _largest_difference(generator: Generator, content: bytes) -> float:
    """Between the outputs of torch and of onnxruntime, on noise of several sizes."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random, unit = torch.Generator().manual_seed(0), smallest_side(generator)
    largest = 0.0
    for count, rows, columns in CHECKED:
        images = torch.rand(count, 3, rows * unit, columns * unit, generator=random) * 2 - 1
        with torch.inference_mode():
            expected = generator(images).numpy()
        (found,) = session.run(["translated"], {"image": images.numpy()})
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest
