"""Horses and zebras in miniature: small landscapes for unpaired image-to-image translation.

Every scene exists twice: in domain A plain horses stand on a meadow, in domain B zebras stand on a savanna.
Both are drawn from the same latent values, so the two share their geometry pixel for pixel and each picture
can in principle be inferred from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from gcl.images.masks import ANIMAL, CLASSES, GROUND, HILLS, SKY
from gcl.sources.drawn.anatomy import Pose, extent
from gcl.sources.drawn.quadrupeds import COATS, Animal, Array, Domain, mix, paint_animal, silhouette, smoothstep

SUPERSAMPLING = 4
MARGIN = 0.03
PAIR_SHARE = 0.35
CROWDING = 1.16
"""The summed width of two animals as a share of the available width; above 1 they overlap."""

Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """Colours of a landscape. Pairs run from early (0) to late (1) light, or from far to near."""

    zenith: tuple[Colour, Colour]
    skyline: tuple[Colour, Colour]
    cloud: Colour
    hills: tuple[Colour, Colour]
    trees: Colour
    ground: tuple[Colour, Colour]
    tufts: tuple[Colour, Colour]


PALETTES: dict[str, Palette] = {
    "A": Palette(
        zenith=((84, 148, 208), (122, 172, 222)),
        skyline=((186, 218, 236), (226, 230, 224)),
        cloud=(250, 250, 248),
        hills=((132, 168, 180), (88, 146, 104)),
        trees=(58, 100, 66),
        ground=((152, 186, 92), (82, 140, 56)),
        tufts=((48, 104, 44), (176, 206, 104)),
    ),
    "B": Palette(
        zenith=((226, 168, 112), (206, 178, 158)),
        skyline=((252, 220, 158), (252, 232, 196)),
        cloud=(255, 244, 222),
        hills=((196, 158, 146), (170, 124, 84)),
        trees=(112, 100, 52),
        ground=((228, 196, 116), (200, 150, 66)),
        tufts=((148, 100, 42), (246, 220, 144)),
    ),
}


@dataclass(frozen=True)
class Scene:
    """The latent values of a scene, in frame units (0..1, y down); both domains share all of them."""

    light: float
    horizon: float
    ridges: Array  # (2 hills, 3 waves, 3): height, frequency, phase
    trees: Array  # (trees, 3): x, width, height
    clouds: Array  # (7, 3) coarse noise
    puffs: Array  # (26, 10) finer noise
    patches: Array  # (9, 7) coarse noise
    grain: Array  # (64, 64) fine noise
    tufts: Array  # (tufts, 4): x, nearness, lean, brightness
    animals: tuple[Animal, ...]


# Composition


def choose_pose(random: np.random.Generator) -> Pose:
    grazing = random.random() < 0.3
    lift = random.uniform(0.0, 0.08) if grazing else random.uniform(0.55, 1.0)
    swings = random.choice((-1.0, 1.0), 2) * random.uniform(0.07, 0.15, 2)
    return Pose(lift, *swings.tolist(), tail_swing=random.uniform(-0.05, 0.05))


def place(pose: Pose, left: float, length: float, facing: int) -> float:
    """The middle of the trunk of an animal whose outline begins at the given left edge."""
    back, forward, _ = extent(pose)
    return left + length * (0.5 - back if facing > 0 else forward - 0.5)


def arrange_one(random: np.random.Generator, width: float) -> list[tuple[float, float, float]]:
    """Trunk length, hoof line and left edge of an animal that is ``width`` trunk lengths wide."""
    room = 1 - 2 * MARGIN
    length = min(random.uniform(0.40, 0.56), room / width)
    return [(length, random.uniform(0.84, 0.94), MARGIN + random.uniform() * (room - length * width))]


def arrange_two(random: np.random.Generator, widths: list[float]) -> list[tuple[float, float, float]]:
    """The same for two animals that reach from edge to edge and overlap a little, the farther one first."""
    length = CROWDING * (1 - 2 * MARGIN) / sum(widths)
    lengths = 0.97 * length, 1.03 * length
    grounds = random.uniform(0.74, 0.80), random.uniform(0.86, 0.94)
    rights = [1 - MARGIN - length * width for length, width in zip(lengths, widths, strict=True)]
    lefts = (rights[0], MARGIN) if random.random() < 0.5 else (MARGIN, rights[1])
    return list(zip(lengths, grounds, lefts, strict=True))


def compose_animals(random: np.random.Generator) -> tuple[Animal, ...]:
    """One large animal, or two smaller ones side by side, all inside the frame; the farther one comes first."""
    count = 2 if random.random() < PAIR_SHARE else 1
    poses = [choose_pose(random) for _ in range(count)]
    widths = [extent(pose)[1] - extent(pose)[0] for pose in poses]
    places = arrange_one(random, *widths) if count == 1 else arrange_two(random, widths)
    animals = []
    for pose, (length, ground, left) in zip(poses, places, strict=True):
        facing = int(random.choice((-1, 1)))
        coat = COATS[random.integers(len(COATS))]
        animals.append(Animal(place(pose, left, length, facing), ground, length, facing, pose, coat))
    return tuple(animals)


def compose_scene(seed: int, index: int) -> Scene:
    random = np.random.default_rng([seed, index])
    waves = np.stack(
        [random.uniform(0.01, 0.03, (2, 3)), random.uniform(1, 7, (2, 3)), random.uniform(0, 7, (2, 3))], -1
    )
    count = random.integers(2, 6)
    trees = random.uniform((0, 0.05, 0.02), (1, 0.11, 0.035), (count, 3))
    return Scene(
        light=random.uniform(),
        horizon=random.uniform(0.46, 0.58),
        ridges=waves,
        trees=trees,
        clouds=random.uniform(-1, 1, (7, 3)),
        puffs=random.uniform(-1, 1, (26, 10)),
        patches=random.uniform(-1, 1, (9, 7)),
        grain=random.uniform(-1, 1, (64, 64)),
        tufts=random.uniform((0, 0, -1, 0), (1, 1, 1, 1), (46, 4)),
        animals=compose_animals(random),
    )


# Landscape


def colour(value: Colour) -> Array:
    return np.array(value, np.float32)


def stretch(noise: Array, canvas: int) -> Array:
    """Coarse noise spread smoothly over the canvas: (canvas, canvas) float32."""
    image = Image.fromarray(noise.astype(np.float32))
    return np.asarray(image.resize((canvas, canvas), Image.Resampling.BICUBIC))


def rows_and_columns(canvas: int) -> tuple[Array, Array]:
    places = (np.arange(canvas, dtype=np.float32) + 0.5) / canvas
    return places[:, None], places[None]


def hill_masks(scene: Scene, canvas: int) -> tuple[Array, Array]:
    """Where the far and the near range of hills rise above the horizon."""
    rows, columns = rows_and_columns(canvas)
    masks = []
    for base, waves in zip((0.14, 0.05), scene.ridges.tolist(), strict=True):
        swell = sum(height * np.sin(pace * columns + start) for height, pace, start in waves)
        masks.append((rows > scene.horizon - base - 0.7 * swell) & (rows < scene.horizon))
    return masks[0], masks[1]


def tree_mask(scene: Scene, canvas: int) -> Array:
    """Broad flat crowns along the horizon."""
    rows, columns = rows_and_columns(canvas)
    crowns = np.zeros((canvas, canvas), bool)
    for x, width, height in scene.trees.tolist():
        over_x, over_y = (columns - x) / width, (rows - scene.horizon + 0.6 * height) / height
        crowns |= over_x**2 + over_y**2 < 1
    return crowns & (rows < scene.horizon)


def paint_sky(scene: Scene, palette: Palette, canvas: int) -> Array:
    rows, _ = rows_and_columns(canvas)
    zenith, skyline = (mix(colour(early), colour(late), scene.light) for early, late in palette[:2])
    sky = mix(zenith, skyline, smoothstep(0, 1, rows / scene.horizon)[..., None])
    noise = stretch(scene.clouds, canvas) + 0.45 * stretch(scene.puffs, canvas)
    return mix(sky, colour(palette.cloud), 0.8 * smoothstep(0.25, 0.8, noise)[..., None])


def paint_ground(scene: Scene, palette: Palette, canvas: int) -> Array:
    rows, _ = rows_and_columns(canvas)
    nearness = np.clip((rows - scene.horizon) / (1 - scene.horizon), 0, 1)
    noise = 0.09 * stretch(scene.patches, canvas) + 0.05 * stretch(scene.grain, canvas)
    far, near = map(colour, palette.ground)
    ground = mix(far, near, nearness[..., None]) * (1 + noise)[..., None]
    return ground * cast_shadows(scene, canvas)[..., None]


def cast_shadows(scene: Scene, canvas: int) -> Array:
    """Soft pools of shade under the animals, as a factor on the ground's colour."""
    rows, columns = rows_and_columns(canvas)
    shade = np.ones((canvas, canvas), np.float32)
    for animal in scene.animals:
        over_x = (columns - animal.middle) / (0.62 * animal.length)
        over_y = (rows - animal.ground + 0.01) / (0.075 * animal.length)
        shade *= 1 - 0.5 * np.exp(-((over_x**2) ** 2) - over_y**2)
    return shade


def tuft_strokes(scene: Scene, canvas: int) -> tuple[Array, Array]:
    """Dark and bright blades of grass: two (canvas, canvas) arrays of opacities 0..1."""
    layers = [Image.new("L", (canvas, canvas)) for _ in range(2)]
    for x, nearness, lean, brightness in scene.tufts.tolist():
        foot = mix(scene.horizon + 0.03, 1.0, nearness)
        height = mix(0.015, 0.05, nearness)
        pen = ImageDraw.Draw(layers[int(brightness > 0.55)])
        for blade in (-1, 0, 1):
            root = (x + 0.25 * blade * height, foot)
            tip = (root[0] + height * (0.4 * blade + 0.3 * lean), foot - height * (1 - 0.2 * abs(blade)))
            ends = [(canvas * end[0], canvas * end[1]) for end in (root, tip)]
            pen.line(ends, fill=190, width=max(1, round(0.008 * canvas)))
    return tuple(np.asarray(layer, np.float32) / 255 for layer in layers)


def paint_landscape(scene: Scene, palette: Palette, canvas: int) -> Array:
    rows, _ = rows_and_columns(canvas)
    picture = paint_ground(scene, palette, canvas)
    for strokes, tint in zip(tuft_strokes(scene, canvas), palette.tufts, strict=True):
        picture = mix(picture, colour(tint), strokes[..., None])
    picture = np.where(rows[..., None] < scene.horizon, paint_sky(scene, palette, canvas), picture)
    for mask, tint in zip(hill_masks(scene, canvas), palette.hills, strict=True):
        haze = smoothstep(scene.horizon - 0.2, scene.horizon, rows)
        slope = mix(colour(tint), colour(palette.skyline[1]), 0.35 * haze[..., None])
        picture = np.where(mask[..., None], slope, picture)
    return np.where(tree_mask(scene, canvas)[..., None], colour(palette.trees), picture)


# The data set


def draw_scene(seed: int, index: int, domain: Domain, size: int = 64) -> Array:
    """Draws scene `index` of the data set `seed` as a horse picture ("A") or a zebra picture ("B").

    Returns (size, size, 3) uint8 RGB. The same arguments always give the same bytes, both domains show the
    same geometry, and every size shows the same scene.
    """
    scene = compose_scene(seed, index)
    picture = paint_landscape(scene, PALETTES[domain], SUPERSAMPLING * size).astype(np.float32)
    for animal in scene.animals:
        paint_animal(picture, animal, domain)
    image = Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    return np.array(image.resize((size, size), Image.Resampling.LANCZOS))


def draw_mask(seed: int, index: int, size: int = 64) -> Array:
    """Draws which of `CLASSES` covers most of each pixel: (size, size) uint8 ids 0..3, valid in both domains."""
    scene, canvas = compose_scene(seed, index), SUPERSAMPLING * size
    rows, _ = rows_and_columns(canvas)
    classes = np.where(np.broadcast_to(rows, (canvas, canvas)) < scene.horizon, SKY, GROUND)
    for mask in (*hill_masks(scene, canvas), tree_mask(scene, canvas)):
        classes[mask] = HILLS
    for animal in scene.animals:
        classes[silhouette(animal, canvas)] = ANIMAL
    cells = classes.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING)
    votes = [(cells == identity).sum((1, 3)) for identity in range(len(CLASSES))]
    return np.argmax(votes, 0).astype(np.uint8)
