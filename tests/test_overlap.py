"""Intersection over union: of class ids by hand, with what is refused, and of a segmenter's answers on scenes."""

import numpy as np
import pytest

from gcl.images.decoding import save_png
from gcl.images.masks import ANIMAL, CLASSES
from gcl.measures.intersection_over_union import intersection_over_union, mean_over_present
from gcl.measures.region_overlap import region_overlaps
from gcl.sources.drawn.scenes import draw_mask, draw_scene


def test_intersection_over_union_sums_over_the_set_before_it_divides():
    truth = [np.array([[0, 0], [1, 1]], np.uint8), np.array([[1, 1], [1, 1]], np.uint8)]
    predicted = [np.array([[0, 1], [1, 1]], np.uint8), np.array([[1, 1], [1, 3]], np.uint8)]
    values = intersection_over_union(predicted, truth, classes=4)
    # Class 0: 1 of 2 pixels; class 1: 2 + 3 of 3 + 4; class 2 is nowhere; class 3 is only predicted.
    assert values == [1 / 2, 5 / 7, None, 0]
    assert mean_over_present(values) == pytest.approx((1 / 2 + 5 / 7) / 3)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([np.zeros((2, 2), int)], [np.zeros((2, 3), int)], "shape"),
        ([np.zeros((2, 2), int)], [np.full((2, 2), 255)], "true classes are 255"),
        ([np.full((2, 2), -1)], [np.zeros((2, 2), int)], "predicted classes are -1"),
        ([np.zeros((2, 2), int)], [], "argument 2 is shorter"),
        ([], [], "empty"),
    ],
)
def test_classes_that_cannot_be_compared_are_refused(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        intersection_over_union(predicted, truth, classes=3)


@pytest.mark.parametrize("domain", ["B", "A"])
def test_regions_are_found_in_real_zebras_and_not_in_horses(tmp_path, domain):
    for index in range(6):
        save_png(draw_scene(5, index, domain), tmp_path / f"{index}.png")
    masks = [draw_mask(5, index) for index in range(6)]
    measured = region_overlaps(tmp_path, iter(masks), "cpu")
    assert list(measured) == ["mean", *CLASSES]
    assert {(one.images, one.reference, one.per_image) for one in measured.values()} == {(6, 6, None)}
    values = {name: one.value for name, one in measured.items()}
    assert values["mean"] == pytest.approx(np.mean([values[name] for name in CLASSES]))
    assert (values["animal"] > 0.9) == (domain == "B")


def test_a_region_that_is_nowhere_has_no_part_in_the_mean(tmp_path):
    """The truth is all sky, so the pixels that the segmenter takes for anything else are the rest of the union."""
    save_png(draw_scene(5, 0, "A"), tmp_path / "0.png")
    measured = region_overlaps(tmp_path, [np.zeros((64, 64), np.uint8)], "cpu")
    assert measured[CLASSES[ANIMAL]].value == 0 < measured["sky"].value < 1
