"""A horse or zebra in a picture: the flesh around its bones, and its coat.

The same flesh wears either coat, so a horse and its zebra differ in colour alone. The stripes follow from the
bones and the pose; nothing about them is left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from gcl.sources.drawn.anatomy import (
    Joint,
    Part,
    Pose,
    body,
    bristly_mane,
    extent,
    falling_mane,
    far_side,
    on_head,
    tail,
)

Domain = Literal["A", "B"]
Array = np.ndarray

STRIPE_PERIOD = 0.135
"""The period of the stripes in trunk lengths; 3.5 to 5 of 64 pixels on a single animal."""

SOFTNESS = 0.016
"""The distance, in trunk lengths, over which neighbouring parts blend into one another."""

FAN_PIVOT, FAN_RADIUS = (0.37, 0.40), 0.34
"""The flank about which the hind stripes turn, and the distance from it at which they keep their period."""

FAR_SIDE_SHADE = 0.68
ZEBRA_DARK = np.array((30, 25, 29), np.float32)
ZEBRA_PALE = np.array((253, 249, 240), np.float32)
EYE_COLOUR = np.array((18, 14, 16), np.float32)


class Coat(NamedTuple):
    """Colours of a plain coat: the body, mane and tail, and the points (muzzle, lower legs, hooves)."""

    body: tuple[int, int, int]
    mane: tuple[int, int, int]
    points: tuple[int, int, int]


COATS = (
    Coat(body=(176, 88, 44), mane=(222, 166, 104), points=(98, 46, 30)),  # chestnut
    Coat(body=(136, 74, 40), mane=(34, 26, 26), points=(38, 28, 28)),  # bay
    Coat(body=(58, 54, 62), mane=(26, 24, 30), points=(30, 28, 34)),  # black
    Coat(body=(232, 230, 226), mane=(160, 162, 170), points=(120, 118, 126)),  # grey
    Coat(body=(226, 178, 98), mane=(250, 238, 212), points=(140, 96, 56)),  # palomino
)


class Animal(NamedTuple):
    """A posed animal: its middle and hoof line in frame units, trunk length, facing (+1 right, -1 left)."""

    middle: float
    ground: float
    length: float
    facing: int
    pose: Pose
    coat: Coat


@dataclass
class Flesh:
    """The flesh around some bones, per pixel (h, w)."""

    depth: Array  # under the skin, in trunk lengths; negative outside
    height: Array  # around the body: -1 underneath, 1 on top
    stripe: Array  # stripe coordinate, in trunk lengths
    extremity: Array  # 0 on the body to 1 on muzzle, hooves and tuft

    @property
    def inside(self) -> Array:
        return self.depth > 0


def mix(first: Array | float, second: Array | float, share: Array | float) -> Array | float:
    return first + (second - first) * share


def smoothstep(low: float, high: float, value: Array) -> Array:
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


# Flesh


def fan(x: Array, y: Array) -> Array:
    """Stripe coordinate of the trunk: upright stripes, which behind the flank fan out around a pivot."""
    back, up = FAN_PIVOT[0] - x, y - FAN_PIVOT[1]
    angle = np.arctan2(back, up)
    return np.where(back > 0, FAN_PIVOT[0] - FAN_RADIUS * angle, np.broadcast_to(x, angle.shape))


def span(values: Array, low: float, high: float) -> slice:
    within = np.flatnonzero((values > low) & (values < high))
    return slice(within[0], within[-1] + 1) if within.size else slice(0, 0)


def surroundings(start: Joint, end: Joint, x: Array, y: Array) -> tuple[slice, slice]:
    """The rows and columns that the flesh between two joints affects."""
    reach = max(start.radius, end.radius) + 5 * SOFTNESS
    rows = span(y[:, 0], min(start.y, end.y) - reach, max(start.y, end.y) + reach)
    columns = span(x[0], min(start.x, end.x) - reach, max(start.x, end.x) + reach)
    return rows, columns


def capsule(start: Joint, end: Joint, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Per pixel: the nearest place along the bone (0..1), the height above it in radii, and the depth of flesh."""
    run, rise = end.x - start.x, end.y - start.y
    along = np.clip(((x - start.x) * run + (y - start.y) * rise) / (run * run + rise * rise), 0, 1)
    over_x, over_y = x - start.x - along * run, y - start.y - along * rise
    radius = mix(start.radius, end.radius, along)
    return along, over_y / radius, radius - np.sqrt(over_x * over_x + over_y * over_y)


def flesh_out(parts: list[Part], x: Array, y: Array) -> Flesh:
    """Soft union of tapered capsules between the joints, on columns x (1, w) and rows y (h, 1)."""
    total, height, stripe, extremity = np.zeros((4, y.size, x.size), np.float32)
    for part in parts:
        for start, end in pairwise(part.joints):
            here = rows, columns = surroundings(start, end, x, y)
            near_x, near_y = x[:, columns], y[rows]
            along, above, depth = capsule(start, end, near_x, near_y)
            weight = np.exp(depth / SOFTNESS)
            rings = fan(near_x, near_y) if part.fanned else mix(start.stripe, end.stripe, along)
            total[here] += weight
            height[here] += weight * above
            stripe[here] += weight * rings
            extremity[here] += weight * mix(start.extremity, end.extremity, along)
    total = np.maximum(total, 1e-6)
    return Flesh(SOFTNESS * np.log(total), height / total, stripe / total, extremity / total)


# Coat


def shade(colour: Array, flesh: Flesh) -> Array:
    """Light from above, and a darker rim that sets even a pale animal off against its background."""
    light = 1.0 + 0.20 * np.clip(flesh.height, -1, 0.6)
    rim = mix(0.72, 1.0, smoothstep(0.0, 0.035, flesh.depth))
    return colour * (light * rim)[..., None]


def plain_coat(flesh: Flesh, coat: Coat) -> Array:
    points = smoothstep(0.2, 0.9, flesh.extremity)[..., None]
    return mix(np.array(coat.body, np.float32), np.array(coat.points, np.float32), points)


def striped_coat(flesh: Flesh, coat: Coat) -> Array:
    """Stripes that thin out towards the belly.

    The pale ones keep a trace of the coat's own colour, so that the zebra reveals which horse it belongs to.
    """
    wave = np.sin(2 * np.pi / STRIPE_PERIOD * flesh.stripe)
    belly = 1.4 * np.clip(-flesh.height - 0.45, 0, 1)
    dark = np.maximum(smoothstep(-0.2, 0.2, wave - belly), smoothstep(0.55, 0.85, flesh.extremity))
    pale = mix(ZEBRA_PALE, np.array(coat.body, np.float32), 0.1)
    return mix(pale, ZEBRA_DARK, dark[..., None])


def hair(flesh: Flesh, coat: Coat, domain: Domain) -> Array:
    if domain == "B":
        return striped_coat(flesh, coat)
    return np.broadcast_to(np.array(coat.mane, np.float32), (*flesh.depth.shape, 3))


def skin(flesh: Flesh, coat: Coat, domain: Domain) -> Array:
    return striped_coat(flesh, coat) if domain == "B" else plain_coat(flesh, coat)


# The whole animal


def body_axes(animal: Animal, canvas: int) -> tuple[Array, Array]:
    """The body coordinates of the columns (1, canvas) and rows (canvas, 1) of a canvas."""
    places = (np.arange(canvas, dtype=np.float32) + 0.5) / canvas
    x = animal.facing * (places - animal.middle) / animal.length + 0.5
    y = (animal.ground - places) / animal.length
    return x[None].astype(np.float32), y[:, None].astype(np.float32)


def window(animal: Animal, x: Array, y: Array) -> tuple[slice, slice]:
    back, forward, top = extent(animal.pose)
    return span(y[:, 0], -0.02, top), span(x[0], back, forward)


def silhouette(animal: Animal, canvas: int) -> Array:
    """Where the animal is: (canvas, canvas) bool, the same in both domains."""
    x, y = body_axes(animal, canvas)
    rows, columns = window(animal, x, y)
    pose = animal.pose
    layers = far_side(pose), [tail(pose)], body(pose), [bristly_mane(pose)]
    covered = np.zeros((canvas, canvas), bool)
    covered[rows, columns] = np.any([flesh_out(parts, x[:, columns], y[rows]).inside for parts in layers], 0)
    return covered


def paint_animal(picture: Array, animal: Animal, domain: Domain) -> None:
    """Paints the animal, back to front, onto a picture (canvas, canvas, 3) of float32 colours 0..255."""
    x, y = body_axes(animal, len(picture))
    here = window(animal, x, y)
    x, y, view = x[:, here[1]], y[here[0]], picture[here]
    pose, coat = animal.pose, animal.coat

    far, near = flesh_out(far_side(pose), x, y), flesh_out(body(pose), x, y)
    hanging, crest = flesh_out([tail(pose)], x, y), flesh_out([bristly_mane(pose)], x, y)
    layers = [
        (far.inside, FAR_SIDE_SHADE * shade(skin(far, coat, domain), far)),
        (hanging.inside, shade(hair(hanging, coat, domain), hanging)),
        (near.inside, shade(skin(near, coat, domain), near)),
        (crest.inside, shade(hair(crest, coat, domain), crest)),
    ]
    if domain == "A":
        fall = flesh_out([falling_mane(pose)], x, y)
        layers.append((fall.inside & (near.inside | crest.inside), shade(hair(fall, coat, domain), fall)))
    eye_x, eye_y = on_head(pose, 0.12, 0.035)
    eye = (x - eye_x) ** 2 + (y - eye_y) ** 2 < 0.027**2
    layers.append((eye, np.broadcast_to(EYE_COLOUR, view.shape)))
    for covered, colour in layers:
        view[covered] = colour[covered]
