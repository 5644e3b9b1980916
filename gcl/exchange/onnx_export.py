"""A generator as one ONNX file for images of any number and size, checked against torch before it is written."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import Dim

from gcl.errors import UserError
from gcl.files import write_whole
from gcl.networks.generator import Generator
from gcl.networks.inference import padded_side, translate_image

TOLERANCE = 1e-4
"""How far an output in [-1, 1] of the ONNX file may be from torch's."""

CHECKED = ((1, 3, 1), (3, 16, 37), (2, 65, 20), (1, 96, 128))
"""Images, rows and columns that a file is checked with."""


class AnySize(nn.Module):
    """What :func:`gcl.networks.inference.translate_image` does, in operations that ONNX has for sizes still unknown."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] of any size to the same shape and range."""
        height, width = images.shape[-2:]
        padded = images[:, :, self._repeating_the_last(height)][..., self._repeating_the_last(width)]
        return self.generator(padded)[..., :height, :width]

    def _repeating_the_last(self, side: int) -> Tensor:
        """0, 1, ..., side - 1, side - 1, ...: as many as the generator takes."""
        return torch.arange(padded_side(side, self.generator)).clamp(max=side - 1)


def export_onnx(generator: Generator, target: Path) -> float:
    """Writes ``generator`` to ``target`` and returns how far its outputs are from torch's at most.

    The input ``image`` and the output ``translated`` are float32 (B, 3, H, W) in [-1, 1] of any size; the file's
    metadata say so. UserError, and nothing written, for a name that does not end in .onnx and for
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
    # Channels last, the number of images would be taken for a constant.
    generator = generator.cpu().to(memory_format=torch.contiguous_format).eval()
    batch, rows, columns = (Dim(name, min=1) for name in ("batch", "height", "width"))
    program = torch.onnx.export(
        AnySize(generator).eval(),
        # Sizes that are alike, or 1, would be taken for constants.
        (torch.zeros(2, 3, 67, 93),),
        dynamo=True,
        dynamic_shapes=({0: batch, 2: rows, 3: columns},),
        input_names=["image"],
        output_names=["translated"],
        verbose=False,
    )
    # Where the source code lay on this machine.
    for node in program.model.graph:
        node.metadata_props.clear()
    # Else the sums that make the output's size.
    program.model.graph.outputs[0].shape = program.model.graph.inputs[0].shape
    program.model.metadata_props.update(
        {
            "layout": "float32 RGB, (batch, 3, height, width)",
            "input_range": "[-1, 1]",
            "output_range": "[-1, 1]",
            "size": "any height and width",
        }
    )
    return program.model_proto.SerializeToString()


def _largest_difference(generator: Generator, content: bytes) -> float:
    """Between the outputs of torch and of onnxruntime, on noise of several sizes."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random, differences = torch.Generator().manual_seed(0), []
    for count, rows, columns in CHECKED:
        images = torch.rand(count, 3, rows, columns, generator=random) * 2 - 1
        expected = translate_image(generator, images).numpy()
        (found,) = session.run(["translated"], {"image": images.numpy()})
        differences.append(np.abs(found - expected).max())
    # Unlike Python's, numpy's maximum of what is not finite is not finite.
    return float(np.max(differences))
