"""Batches: values, crops, shuffling and their independence from workers and the starting point."""

import numpy as np
import pytest
import torch
from PIL import Image

from gcl.images.batches import Augmentation, UnpairedImages, batches
from gcl.images.decoding import list_images
from gcl.images.pixels import to_pixels, to_signed, to_tensor


@pytest.fixture
def pairs(tmp_path, save_images):
    save_images(tmp_path / "A", 5)
    save_images(tmp_path / "B", 3)
    folders = (list_images(tmp_path / "A"), list_images(tmp_path / "B"))

    def make(seed=0, length=20, flip=True):
        return UnpairedImages(folders, length, seed, Augmentation(40, 32, flip=flip))

    return make


def test_every_image_once_a_pass_and_in_another_order_in_the_next(tmp_path, save_images):
    save_images(tmp_path / "A", 5, size=(32, 32))
    files = list_images(tmp_path / "A")
    pairs = UnpairedImages((files, files), 10, seed=0, augmentation=Augmentation(32, 32, flip=False))
    originals = [to_signed(to_tensor(file)) for file in files]

    def which(image):
        return next(index for index, original in enumerate(originals) if torch.equal(image, original))

    order = [which(pairs[index][0]) for index in range(10)]
    assert sorted(order[:5]) == sorted(order[5:]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:]
    assert order != [which(pairs[index][1]) for index in range(10)]


def test_the_seed_decides_everything(pairs):
    for first, again in zip(pairs(seed=3), pairs(seed=3), strict=True):
        assert torch.equal(first[0], again[0])
    assert any(not torch.equal(one[0], other[0]) for one, other in zip(pairs(seed=3), pairs(seed=4), strict=True))


def test_workers_and_a_later_start_change_nothing(pairs):
    alone = list(batches(pairs(), batch_size=2, workers=0))
    again = list(batches(pairs(), batch_size=2, workers=2))
    assert len(alone) == 10
    for (a, b), (same_a, same_b) in zip(alone, again, strict=True):
        assert torch.equal(a, same_a) and torch.equal(b, same_b)
    late = pairs()[12]
    assert torch.equal(late[0], alone[6][0][0]) and torch.equal(late[1], alone[6][1][0])
    assert alone[0][0].shape == (2, 3, 32, 32)
    assert -1 <= alone[0][0].min() < alone[0][0].max() <= 1


def test_crops_move_and_flips_mirror():
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(3, 8, 8)
    random = np.random.default_rng(0)
    crops = [Augmentation(8, 4, flip=False)(image, random) for _ in range(50)]
    assert len({int(crop[0, 0, 0]) for crop in crops}) > 10
    whole = [Augmentation(8, 8, flip=True)(image, random) for _ in range(50)]
    mirrored = sum(torch.equal(crop, image.flip(-1)) for crop in whole)
    assert mirrored + sum(torch.equal(crop, image) for crop in whole) == 50
    assert 10 < mirrored < 40


def test_the_shorter_side_is_resized_and_the_shape_kept():
    tall = torch.zeros(3, 100, 50, dtype=torch.uint8)
    assert Augmentation(20, 20, flip=False)(tall, np.random.default_rng(0)).shape == (3, 20, 20)


def test_all_256_values_survive_the_way_to_floats_and_back():
    pixels = torch.arange(256, dtype=torch.uint8)
    signed = to_signed(pixels)
    assert signed[0] == -1 and signed[-1] == 1
    assert torch.equal(to_pixels(signed), pixels)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_list_images_passes_over_other_and_hidden_files(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="PNG")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_processes_share_every_step_without_overlap(pairs):
    one = batches(pairs(length=18), batch_size=6, workers=0, start=1)
    shares = [batches(pairs(length=18), batch_size=2, workers=0, start=1, rank=rank, processes=3) for rank in range(3)]
    assert len(one) == len(shares[0]) > 0
    for (a, b), *own in zip(one, *shares, strict=True):
        assert torch.equal(torch.cat([share[0] for share in own]), a)
        assert torch.equal(torch.cat([share[1] for share in own]), b)
