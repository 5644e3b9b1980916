"""The drawn scenes: reproducible, the same in every size and in both domains, and in line with their masks."""

import numpy as np
import pytest

from gcl.images.masks import CLASSES
from gcl.sources.drawn.quadrupeds import Animal, paint_animal, silhouette
from gcl.sources.drawn.scenes import PALETTES, SUPERSAMPLING, compose_scene, draw_mask, draw_scene, paint_landscape

SEED = 7
SKY, HILLS, GROUND, ANIMAL = range(len(CLASSES))
Drawings = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    """Fifty scenes, each as horse picture, zebra picture and mask."""
    return [(draw_scene(SEED, index, "A"), draw_scene(SEED, index, "B"), draw_mask(SEED, index)) for index in range(50)]


def luminance(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array((0.299, 0.587, 0.114))


def roughness(picture: np.ndarray, mask: np.ndarray) -> float:
    """Mean step of luminance between neighbours that both lie on an animal."""
    light, inside = luminance(picture), mask == ANIMAL
    steps = np.abs(np.diff(light, axis=1))
    return steps[inside[:, 1:] & inside[:, :-1]].mean()


@pytest.mark.parametrize("domain", ["A", "B"])
def test_a_scene_is_an_image_of_its_size(domain):
    for size in (32, 64, 96):
        picture = draw_scene(SEED, 0, domain, size)
        assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
        mask = draw_mask(SEED, 0, size)
        assert mask.shape == (size, size) and mask.dtype == np.uint8


def test_the_same_arguments_give_the_same_bytes(drawings):
    np.random.seed(0)
    horse, zebra, mask = drawings[3]
    assert np.array_equal(horse, draw_scene(SEED, 3, "A"))
    assert np.array_equal(zebra, draw_scene(SEED, 3, "B"))
    assert np.array_equal(mask, draw_mask(SEED, 3))


def test_other_seeds_and_indices_give_other_scenes(drawings):
    horses = {horse.tobytes() for horse, _, _ in drawings}
    assert len(horses) == len(drawings)
    assert draw_scene(SEED + 1, 0, "A").tobytes() not in horses


def test_every_size_shows_the_same_scene(drawings):
    for index in range(5):
        horse = drawings[index][0].astype(float)
        large = draw_scene(SEED, index, "A", 128).astype(float)
        halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(halved - horse).mean() < 4


@pytest.mark.parametrize("domain", ["A", "B"])
def test_painting_an_animal_covers_exactly_its_silhouette(domain):
    for index in range(8):
        scene = compose_scene(SEED, index)
        landscape = paint_landscape(scene, PALETTES[domain], 64 * SUPERSAMPLING).astype(np.float32)
        for animal in scene.animals:
            picture = landscape.copy()
            paint_animal(picture, animal, domain)
            changed = (picture != landscape).any(-1)
            assert np.array_equal(changed, silhouette(animal, 64 * SUPERSAMPLING))


def test_both_domains_share_the_ground(drawings):
    """The detail of the ground must agree; its gradient alone would correlate in any two scenes."""
    alike, strange = [], []
    for index, (horse, zebra, mask) in enumerate(drawings):
        foreign = drawings[index - 1]
        shared = (mask == GROUND) & (foreign[2] == GROUND)
        shared[:56] = False
        meadow = luminance(horse)[shared]
        alike.append(np.corrcoef(meadow, luminance(zebra)[shared])[0, 1])
        strange.append(np.corrcoef(meadow, luminance(foreign[1])[shared])[0, 1])
    assert min(alike) > 0.8
    assert np.mean(strange) < 0.6


def test_masks_hold_every_class(drawings):
    complete = [len(np.unique(mask)) == len(CLASSES) for _, _, mask in drawings]
    assert np.mean(complete) > 0.95
    for _, _, mask in drawings:
        assert mask.max() < len(CLASSES)
        assert 0.05 < (mask == ANIMAL).mean() < 0.5


def test_the_sky_is_above_the_hills_and_the_ground_below(drawings):
    rows = np.arange(64)[:, None]
    for _, _, mask in drawings:
        heights = [np.broadcast_to(rows, mask.shape)[mask == name].mean() for name in (SKY, HILLS, GROUND)]
        assert heights == sorted(heights)


def test_animals_stay_inside_the_frame(drawings):
    for _, _, mask in drawings:
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not (border == ANIMAL).any()


def test_two_animals_hardly_cover_each_other():
    scenes = [compose_scene(SEED, index) for index in range(60)]
    pairs = [[silhouette(animal, 64) for animal in scene.animals] for scene in scenes if len(scene.animals) == 2]
    assert 10 < len(pairs) < 40
    for first, second in pairs:
        assert (first & second).sum() < 0.22 * min(first.sum(), second.sum())


def test_only_zebras_are_striped(drawings):
    for horse, zebra, mask in drawings:
        assert roughness(zebra, mask) > 2 * roughness(horse, mask)
        on_animal = luminance(zebra)[mask == ANIMAL]
        assert np.ptp(np.percentile(on_animal, (15, 85))) > 100


def test_stripes_follow_the_pose_and_not_the_coat():
    """Only the blurred edge of a stripe may give way to the coat's tint."""
    animals = [compose_scene(SEED, index).animals[-1] for index in range(10)]
    animal = animals[0]

    def share_restriped(other: Animal) -> float:
        dark = []
        for painted in (animal, other):
            picture = np.full((256, 256, 3), 128, np.float32)
            paint_animal(picture, painted, "B")
            dark.append(luminance(picture) < 90)
        return (dark[0] != dark[1]).sum() / silhouette(animal, 256).sum()

    assert max(share_restriped(animal._replace(coat=other.coat)) for other in animals) < 0.03
    lowered = animal.pose._replace(neck_lift=0.5 * animal.pose.neck_lift)
    assert share_restriped(animal._replace(pose=lowered)) > 0.05


def test_animals_stand_out_from_what_is_behind_them():
    """Even the palest and the darkest coat must differ from the landscape, all along the body."""
    for domain in ("A", "B"):
        for index in range(12):
            scene = compose_scene(SEED, index)
            landscape = paint_landscape(scene, PALETTES[domain], 256).astype(np.float32)
            picture = landscape.copy()
            for animal in scene.animals:
                paint_animal(picture, animal, domain)
            changed = (picture != landscape).any(-1)
            distance = np.linalg.norm(picture - landscape, axis=-1)[changed]
            assert np.percentile(distance, 10) > 25


def test_the_meadow_is_greener_than_the_savanna(drawings):
    for horse, zebra, mask in drawings:
        greenness = [(picture[mask == GROUND].astype(float) @ (-0.5, 1, -0.5)).mean() for picture in (horse, zebra)]
        assert greenness[0] > greenness[1] + 20
