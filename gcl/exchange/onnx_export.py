"""Exports a generator as one ONNX file for any number and size of images, checked against torch before writing.

The file translates whole pictures, and its metadata say what that takes. With instance normalisation it cannot do it in
tiles: each tile would be normalised by its own statistics. `gcl translate` can, because it takes all tiles through one
layer after the other.
"""

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
from gcl.tiles.halo import halo
from gcl.tiles.plan import whole_maps

TOLERANCE = 1e-4
"""The most by which an output of the ONNX file, in [-1, 1], may differ from torch's."""

SIDE = 1024
"""The side of the picture for which the memory per pixel is computed."""

CHECKED = ((1, 3, 1), (3, 16, 37), (2, 65, 20), (1, 96, 128))
"""The numbers of images, rows and columns with which a file is checked."""


class AnySize(nn.Module):
    """Like :func:`gcl.networks.inference.translate_image`, in operations that ONNX supports for unknown sizes."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, 3, H, W) in [-1, 1] of any size to the same shape and range."""
        height, width = images.shape[-2:]
        padded = images[:, :, self._repeating_the_last(height)][..., self._repeating_the_last(width)]
        return self.generator(padded)[..., :height, :width]

    def _repeating_the_last(self, side: int) -> Tensor:
        """The indices 0, 1, ..., side - 1, side - 1, ..., as many as the padded side has."""
        return torch.arange(padded_side(side, self.generator)).clamp(max=side - 1)


def export_onnx(generator: Generator, target: Path) -> float:
    """Writes ``generator`` to ``target`` and returns the largest difference between its outputs and torch's.

    The input ``image`` and the output ``translated`` are float32 (B, 3, H, W) in [-1, 1] of any size; the file's
    metadata say so. UserError, and nothing is written, if the name does not end in .onnx or the outputs differ by more
    than ``TOLERANCE``.
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
    # With channels last, the exporter would take the number of images for a constant.
    generator = generator.cpu().to(memory_format=torch.contiguous_format).eval()
    batch, rows, columns = (Dim(name, min=1) for name in ("batch", "height", "width"))
    program = torch.onnx.export(
        AnySize(generator).eval(),
        # The exporter would take equal sizes, and sizes of 1, for constants.
        (torch.zeros(2, 3, 67, 93),),
        dynamo=True,
        dynamic_shapes=({0: batch, 2: rows, 3: columns},),
        input_names=["image"],
        output_names=["translated"],
        verbose=False,
    )
    # These hold the paths of source files on this machine.
    for node in program.model.graph:
        node.metadata_props.clear()
    # Otherwise the output's shape would be given as the expressions that compute it.
    program.model.graph.outputs[0].shape = program.model.graph.inputs[0].shape
    program.model.metadata_props.update(
        {
            "layout": "float32 RGB, (batch, 3, height, width)",
            "input_range": "[-1, 1]",
            "output_range": "[-1, 1]",
            "size": "any height and width",
            **limits(generator),
        }
    )
    return program.model_proto.SerializeToString()


def limits(generator: Generator) -> dict[str, str]:
    """What the file says of the ``memory`` that it takes and of ``tiles``, that is, parts of a picture on their own."""
    # onnxruntime was seen to take 1.6 to 2.1 times the maps that torch holds.
    per_pixel = 2 * whole_maps(generator, SIDE, SIDE) // SIDE**2
    around = halo(generator)
    if around is None:
        tiles = "cannot be translated on their own: instance normalisation sees the whole picture"
    else:
        tiles = (
            f"are exact with {around} more pixels on every side, as far as the picture goes, cut off afterwards; "
            f"they start at multiples of {generator.stride} pixels"
        )
    return {
        "memory": f"about {per_pixel} bytes per pixel of the whole picture, which goes through at once",
        "tiles": tiles,
    }


def _largest_difference(generator: Generator, content: bytes) -> float:
    """The largest difference between the outputs of torch and of onnxruntime, on noise of several sizes."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    random, differences = torch.Generator().manual_seed(0), []
    for count, rows, columns in CHECKED:
        images = torch.rand(count, 3, rows, columns, generator=random) * 2 - 1
        expected = translate_image(generator, images).numpy()
        (found,) = session.run(["translated"], {"image": images.numpy()})
        differences.append(np.abs(found - expected).max())
    # Unlike Python's maximum, numpy's is NaN if any difference is.
    return float(np.max(differences))
