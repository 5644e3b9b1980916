"""Procedurally drawn images on which the bundled encoder and judge are trained.

Every image is one shape filled with one texture, lying on a background of another texture. Nothing in them
shows a horse, a zebra or a landscape: a network that names what was drawn has learned edges, orientations,
colours, spatial frequencies and outlines, and nothing about the data set it is later used on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

SIZE = 64
UNDEFINED = -1
"""The label of a question that has no answer, such as the orientation of dots."""

ORIENTATION_BINS = 8
SCALE_BINS = 4
HUE_BINS = 8
SHORTEST_PERIOD, LONGEST_PERIOD = 4.0, 24.0
LATTICE = 48


@dataclass
class Field:
    """The planes on which textures are drawn, one per image for B images, each rotated and scaled on its own.

    ``along`` and ``across`` (B,64,64) count periods of the texture on its two axes, ``distance`` (B,64,64) is
    ``along`` in image widths, ``sharpness`` (B,1,1) is the steepness of edges, and ``lattice`` (B,1,48,48) holds
    noise in [0,1].
    """

    along: Tensor
    across: Tensor
    distance: Tensor
    sharpness: Tensor
    lattice: Tensor

    def edge(self, height: Tensor) -> Tensor:
        """Turns a height map into two levels, 0 where it is negative and 1 where positive, softly joined."""
        return torch.sigmoid(self.sharpness * height)

    def noise(self, cells: float, mode: str) -> Tensor:
        """Value noise in [0,1] of shape (B,64,64) with ``cells`` lattice cells per period."""
        place = torch.stack([self.along, self.across], dim=-1) * (2 * cells / LATTICE)
        sampled = functional.grid_sample(self.lattice, place, mode=mode, padding_mode="reflection", align_corners=False)
        return sampled[:, 0]

    def chosen(self, rows: Tensor) -> "Field":
        """The field of only those images for which ``rows`` (B,) is true."""
        return Field(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _wave(periods: Tensor) -> Tensor:
    return torch.sin(2 * math.pi * periods)


def _plain(field: Field) -> Tensor:
    return torch.zeros_like(field.along)


def _gradient(field: Field) -> Tensor:
    return (field.distance + 0.5).clamp(0, 1)


def _stripes(field: Field) -> Tensor:
    return field.edge(_wave(field.along))


def _zigzag(field: Field) -> Tensor:
    return field.edge(_wave(field.along + 0.8 * (field.across.frac().abs() - 0.5).abs()))


def _checker(field: Field) -> Tensor:
    return field.edge(2 * _wave(field.along / 2) * _wave(field.across / 2))


def _grid(field: Field) -> Tensor:
    return field.edge(2 * torch.maximum(_wave(field.along), _wave(field.across)) - 1.6)


def _dots(field: Field) -> Tensor:
    return field.edge(_wave(field.along) + _wave(field.across) - 0.8)


def _rings(field: Field) -> Tensor:
    bent = torch.hypot(field.along, field.across) + 0.6 * field.noise(0.5, "bilinear")
    return field.edge(_wave(bent))


def _clouds(field: Field) -> Tensor:
    return field.noise(2.0, "bilinear")


def _speckle(field: Field) -> Tensor:
    return (field.noise(3.0, "nearest") > 0.8).to(field.along.dtype)


TEXTURES: dict[str, Callable[[Field], Tensor]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "zigzag": _zigzag,
    "checker": _checker,
    "grid": _grid,
    "dots": _dots,
    "rings": _rings,
    "clouds": _clouds,
    "speckle": _speckle,
}
_ORIENTED = ("stripes", "zigzag")
_WITHOUT_SCALE = ("plain", "gradient")


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(0.866 * x.abs() + 0.5 * y, -y) - 0.5


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(_bar(x, y), _bar(y, x))


def _bar(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs() - 1, y.abs() - 0.3)


def _star(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.7 - 0.3 * torch.cos(5 * torch.atan2(y, x))


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 1, 0.85 - torch.hypot(x - 0.5, y))


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": lambda x, y: torch.hypot(x, y) - 0.9,
    "ring": lambda x, y: (torch.hypot(x, y) - 0.75).abs() - 0.25,
    "square": lambda x, y: torch.maximum(x.abs(), y.abs()) - 0.8,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "bar": _bar,
}
"""Outlines by name: a function of coordinates that is negative inside the shape, whose radius is about 1."""

SURFACE: dict[str, int] = {
    "texture": len(TEXTURES),
    "orientation": ORIENTATION_BINS,
    "scale": SCALE_BINS,
    "hue": HUE_BINS,
}
"""The questions about a surface, foreground or background, and the number of classes of each."""


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _rotated_plane(centre: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel coordinates (B,64,64) about centre (B,2), turned by angle (B,)."""
    pixels = torch.arange(SIZE) + 0.5 - SIZE / 2
    x = pixels[None, None, :] - centre[:, 0, None, None]
    y = pixels[None, :, None] - centre[:, 1, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cosine * x + sine * y, cosine * y - sine * x


def _colour(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB in [0,1] of shape (B,3,1,1) from hue in turns, saturation and value in [0,1], each (B,)."""
    offsets = torch.tensor([5.0, 3.0, 1.0])
    sector = (offsets + 6 * hue[:, None]) % 6
    ramp = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return (value[:, None] * (1 - saturation[:, None] * ramp))[:, :, None, None]


def _two_colours(hue: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """A dark and a light colour of nearly the same hue, in random order, each (B,3,1,1) in [0,1]."""
    count = len(hue)
    near = hue + _uniform(-0.06, 0.06, (count,), generator)
    dark_value = _uniform(0.1, 0.6, (count,), generator)
    light_value = dark_value + _uniform(0.3, 0.4, (count,), generator)
    dark = _colour(hue, _uniform(0.2, 1.0, (count,), generator), dark_value)
    light = _colour(near, _uniform(0.15, 0.9, (count,), generator), light_value)
    swap = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    return torch.where(swap, light, dark), torch.where(swap, dark, light)


def _draw_textures(count: int, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Draws images (B,3,64,64) in [0,1], each covered with one texture, and labels (B,) that say what was drawn."""
    kind = torch.randint(len(TEXTURES), (count,), generator=generator)
    scale = torch.rand(count, generator=generator)
    turn = torch.rand(count, generator=generator)
    hue = torch.rand(count, generator=generator)
    period = SHORTEST_PERIOD * (LONGEST_PERIOD / SHORTEST_PERIOD) ** scale
    along, across = _rotated_plane(_uniform(-24, 24, (count, 2), generator), math.pi * turn)
    field = Field(
        along=along / period[:, None, None],
        across=across / period[:, None, None],
        distance=along / SIZE,
        sharpness=_uniform(2, 10, (count, 1, 1), generator),
        lattice=torch.rand(count, 1, LATTICE, LATTICE, generator=generator),
    )
    pattern = torch.empty(count, SIZE, SIZE)
    for index, draw in enumerate(TEXTURES.values()):
        rows = kind == index
        pattern[rows] = draw(field.chosen(rows))
    first, second = _two_colours(hue, generator)
    labels = {
        "texture": kind,
        "orientation": _bins(turn, ORIENTATION_BINS, _any_of(kind, _ORIENTED)),
        "scale": _bins(scale, SCALE_BINS, ~_any_of(kind, _WITHOUT_SCALE)),
        "hue": _bins(hue, HUE_BINS, torch.ones_like(kind, dtype=torch.bool)),
    }
    return torch.lerp(first, second, pattern[:, None]), labels


def _any_of(kind: Tensor, names: tuple[str, ...]) -> Tensor:
    return torch.isin(kind, torch.tensor([list(TEXTURES).index(name) for name in names]))


def _bins(fraction: Tensor, count: int, defined: Tensor) -> Tensor:
    """The bin, of ``count`` equal ones, that holds ``fraction`` in [0,1); UNDEFINED where ``defined`` is false."""
    return torch.where(defined, (fraction * count).long(), UNDEFINED)


def _draw_shapes(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draws masks (B,1,64,64) in [0,1] of one shape per image, and labels (B,) that say which shape."""
    kind = torch.randint(len(SHAPES), (count,), generator=generator)
    radius = _uniform(14, 28, (count, 1, 1), generator)
    angle = _uniform(0, 2 * math.pi, (count,), generator)
    x, y = _rotated_plane(_uniform(-12, 12, (count, 2), generator), angle)
    outline = torch.empty(count, SIZE, SIZE)
    for index, draw in enumerate(SHAPES.values()):
        rows = kind == index
        outline[rows] = draw((x / radius)[rows], (y / radius)[rows])
    # The outline times the radius is in pixels: the mask passes from 0 to 1 within about two of them.
    return torch.sigmoid(-3 * radius * outline)[:, None], kind


def _photographed(images: Tensor, generator: Generator) -> Tensor:
    """Adds a slight blur and noise, with a strength that differs from image to image."""
    blur = torch.rand(len(images), 1, 1, 1, generator=generator) * 0.7
    grain = torch.rand(len(images), 1, 1, 1, generator=generator) * 0.05
    blurred = torch.lerp(images, functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False), blur)
    return (blurred + grain * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def draw_batch(count: int, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
    """Draws images (count,3,64,64) in [-1,1] and the labels that say what was drawn, all LongTensors.

    shape (count,) is an index into SHAPES and inside (count,64,64) is 1 on the shape and 0 around it.
    foreground_NAME and background_NAME (count,) are in [0, SURFACE[NAME]) for each name there, or UNDEFINED
    where the question does not apply: only stripes and zigzags have an orientation, plain surfaces
    and gradients have no scale.
    """
    background, below = _draw_textures(count, generator)
    foreground, above = _draw_textures(count, generator)
    mask, shape = _draw_shapes(count, generator)
    images = _photographed(torch.lerp(background, foreground, mask), generator)
    labels = {"shape": shape, "inside": (mask[:, 0] > 0.5).long()}
    labels |= {f"foreground_{name}": label for name, label in above.items()}
    labels |= {f"background_{name}": label for name, label in below.items()}
    return 2 * images - 1, labels
