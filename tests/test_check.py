"""`gcl check`: sizes, copies and what tells A from B, on images made so that the answer is known."""

import json
import tracemalloc
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from gcl.checks import copies
from gcl.checks.copies import MOST_BITS, MOST_DISTANCE, Copy, find_copies, similar_pairs
from gcl.checks.findings import findings, telling
from gcl.checks.folder_check import FolderCheck, check_folder
from gcl.checks.groups import GROUPS, Number
from gcl.checks.image_facts import ImageFile, read_facts
from gcl.checks.image_numbers import numbers_of
from gcl.checks.jpeg_quality import jpeg_quality
from gcl.checks.probe import Telling, chance_bound, probe_groups
from gcl.errors import UserError
from gcl.images.decoding import decode
from pipeline.pictures import check
from tests.pictures import exif

COUNTS = {"trainA": 18, "trainB": 18, "testA": 4, "testB": 4}
"""Few enough to be read in this process."""


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Random soft blobs of colour with a little noise; pictures of two seeds have nothing in common."""
    random = np.random.default_rng(seed)
    blobs = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.normal(0, 4, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(blobs) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of four splits without any fault."""
    seed = 0
    for split, count in COUNTS.items():
        (tmp_path / "photos" / split).mkdir(parents=True)
        for index in range(count):
            picture(seed).save(tmp_path / "photos" / split / f"{split}_{index:02}.png")
            seed += 1
    return tmp_path / "photos"


def checked(folder: Path) -> FolderCheck:
    return check_folder(folder, lambda items, *_: items)


def change(folder: Path, split: str, to) -> None:
    """Saves each image of ``split`` as ``to`` says, which gets the image and its path."""
    for path in sorted((folder / split).iterdir()):
        with Image.open(path) as image:
            image.load()
        path.unlink()
        to(image, path)


# --- a folder without a fault --------------------------------------------------------------------------------------


def test_a_good_folder_is_fine(folder):
    check = checked(folder)
    assert {split: len(check.of(split)) for split in check.splits} == COUNTS
    assert check.copies == check.unusable == check.notes == []
    assert [probe.name for probe in check.probes if probe.tells] == []
    # Only the number of images is remarked on.
    assert all("only" in finding.headline for finding in findings(check))


# --- copies --------------------------------------------------------------------------------------------------------


def jpeg(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".jpg"), quality=60)


COPIES = {
    "re-saved as JPEG": jpeg,
    "half as large": lambda image, path: image.resize((48, 40), Image.Resampling.LANCZOS).save(path),
    "enlarged": lambda image, path: image.resize((240, 200), Image.Resampling.BICUBIC).save(path),
    "mirrored, as JPEG": lambda image, path: jpeg(ImageOps.mirror(image), path),
    "cropped": lambda image, path: image.crop((1, 1, 95, 79)).save(path),
    "brighter": lambda image, path: image.point(lambda value: min(255, value * 1.1)).save(path),
}


@pytest.mark.parametrize("save", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    ("where", "of", "places"),
    [("testA", "trainA", ("testA", "trainA")), ("A", "B", ("trainA", "testB")), ("trainB", "trainB", ("trainB",) * 2)],
)
def test_a_planted_copy_is_found_and_no_other(folder, save, where, of, places):
    original = folder / places[1] / f"{places[1]}_01.png"
    save(Image.open(original), folder / places[0] / "z copy.png")
    (found,) = checked(folder).copies
    assert (found.where, found.of, found.exact) == (where, of, 0)
    (copy,) = found.copies
    assert copy.image.startswith(f"{places[0]}/z copy.") and copy.original == f"{places[1]}/{original.name}"


def test_the_same_pixels_in_another_file_are_an_exact_copy(folder):
    Image.open(folder / "trainA/trainA_03.png").save(folder / "testA/copy.bmp")
    (found,) = checked(folder).copies
    assert found.exact == 1
    finding = findings(checked(folder))[0]
    assert finding.headline == (
        "1 of 5 images of testA looks like one in trainA (1 with the same pixels), which invalidates the metrics."
    )
    assert finding.files == ["testA/copy.bmp = trainA/trainA_03.png"]


def test_a_large_jpeg_and_its_pixels_in_a_png_are_an_exact_copy_and_a_changed_pixel_is_none(tmp_path):
    """LARGEST_COMPARED is far below their size, so that the JPEG is decoded at a fraction of it."""
    picture(1, (800, 600)).save(tmp_path / "a.jpg", quality=90)
    whole = Image.open(tmp_path / "a.jpg").convert("RGB")
    whole.save(tmp_path / "b.png")
    whole.putpixel((400, 300), tuple(255 - value for value in whole.getpixel((400, 300))))
    whole.save(tmp_path / "c.png")
    files = [ImageFile(*place, tmp_path / place[1]) for place in (("trainA", "a.jpg"), ("testA", "b.png"))]
    images = [read_facts(100, file) for file in (*files, ImageFile("testA", "c.png", tmp_path / "c.png"))]
    (of_train, within) = find_copies(images)
    assert of_train.copies == [Copy("testA/b.png", "trainA/a.jpg", True), Copy("testA/c.png", "trainA/a.jpg", False)]
    assert within.copies == [Copy("testA/c.png", "testA/b.png", False)]


def test_many_look_alikes_take_little_memory_and_one_sentence(folder):
    frame = ImageFile("trainA", "0.png", folder / "trainA/trainA_00.png")
    facts = read_facts(100, frame)
    images = [replace(facts, label=f"{number}.png", shrunken=f"{number}") for number in range(1500)]
    tracemalloc.start()
    (found,) = find_copies(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [copy.original for copy in found.copies] == ["trainA/0.png"] * 1499
    # All pairs at once would take 390 MB.
    assert peak < 100e6
    finding = next(finding for finding in findings(FolderCheck([], images, [], [], [found])) if finding.files)
    assert "Most images look alike" in finding.advice


def test_test_images_of_one_name_may_be_pairs(folder):
    for name in ("pair.png", "other.png"):
        picture(500).save(folder / "testA" / name)
        picture(500 if name == "pair.png" else 501).save(folder / "testB" / name)
    (folder / "testA/other.png").unlink()
    assert checked(folder).copies == []


def test_a_shape_in_another_colour_is_no_copy(folder):
    for name, colour in (("red.png", (220, 20, 20)), ("green.png", (20, 140, 20))):
        heart = Image.new("RGB", (96, 80), "white")
        heart.paste(colour, (20, 20, 60, 70))
        heart.save(folder / "trainA" / name)
    assert checked(folder).copies == []


def test_pairs_are_those_of_a_plain_loop_over_imagehash(tmp_path, monkeypatch):
    """Blocks of three, so that pairs within a block and across blocks occur."""
    monkeypatch.setattr(copies, "BLOCK", 3)
    pictures = [picture(seed) for seed in range(4)]
    images = [*pictures, ImageOps.mirror(pictures[1]), pictures[2].crop((1, 1, 95, 80)), pictures[0], picture(9)]

    def view(image: Image.Image) -> tuple[imagehash.ImageHash, np.ndarray]:
        return imagehash.phash(image, 16), np.asarray(image.resize((32, 32), Image.Resampling.BOX), float)

    expected = set()
    for first, second in combinations(range(len(images)), 2):
        for other in (images[second], ImageOps.mirror(images[second])):
            (hash_a, small_a), (hash_b, small_b) = view(images[first]), view(other)
            if hash_a - hash_b <= MOST_BITS and np.sqrt(((small_a - small_b) ** 2).mean()) <= MOST_DISTANCE:
                expected.add((second, first))
    assert expected == {(4, 1), (5, 2), (6, 0)}
    files = [ImageFile("trainA", f"{index}.png", tmp_path / f"{index}.png") for index in range(len(images))]
    for image, file in zip(images, files, strict=True):
        image.save(file.path)
    pairs = pd.concat(similar_pairs([read_facts(1000, file) for file in files]))
    assert set(zip(pairs["image"], pairs["original"], strict=True)) == expected


# --- what tells A from B -------------------------------------------------------------------------------------------


def framed(image: Image.Image, path: Path) -> None:
    ImageOps.expand(image.crop((6, 6, 90, 74)), 6, "white").save(path)


def saved_as_jpeg(quality: int):
    return lambda image, path: image.save(path.with_suffix(".jpg"), quality=quality)


def enlarged(factor: float):
    return lambda image, path: image.resize((round(96 * factor), round(80 * factor)), Image.Resampling.BICUBIC).save(
        path
    )


def darker(image: Image.Image, path: Path) -> None:
    image.point(lambda value: value * 0.5).save(path)


PLANTED = {
    "border": (framed, None, "border"),
    "JPEG quality": (saved_as_jpeg(85), saved_as_jpeg(92), "compression"),
    "JPEG and PNG": (saved_as_jpeg(95), None, "compression"),
    "size": (enlarged(2), enlarged(2.5), "resolution"),
    "brightness": (darker, None, "colour"),
}


@pytest.mark.parametrize(("of_a", "of_b", "group"), PLANTED.values(), ids=PLANTED)
def test_a_planted_difference_is_named_by_its_group_first(folder, of_a, of_b, group):
    change(folder, "trainA", of_a)
    if of_b:
        change(folder, "trainB", of_b)
    check = checked(folder)
    accuracies = {probe.name: probe.accuracy for probe in check.probes if probe.tells}
    assert accuracies[group] == max(accuracies.values()) > 0.9
    words = next(of.words for of in GROUPS if of.name == group)
    told = [finding for finding in findings(check) if "told A from B" in finding.headline]
    (named,) = [finding for finding in told if finding.headline.startswith(f"{words.capitalize()} alone")]
    assert ("If that is what you want to change" in named.advice) == (group == "colour")
    # Unless it may be what is to be changed, it comes first.
    assert group == "colour" or named == told[0]


@pytest.mark.parametrize(
    ("means", "told"),
    [((1024.4, 99.96), "1024 pixels in A, 100 pixels in B"), ((99.94, 0.125), "99.9 pixels in A, 0.125 pixels in B")],
)
def test_means_are_written_without_powers_of_ten(means, told):
    assert telling(Telling(Number("width", "width", " pixels"), *means)) == f"width: on average {told}"


def test_a_dark_border_of_dark_images_is_not_called_a_border_without_doubt(folder):
    change(folder, "trainA", darker)
    border = [finding for finding in findings(checked(folder)) if finding.headline.startswith("The border")]
    assert all("Brightness and colour of the inside differ too" in finding.advice for finding in border)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_noise_in_the_numbers_is_within_chance(group):
    random = np.random.default_rng(3)
    names = [number.name for of in GROUPS for number in of.numbers]
    of_a, of_b = ([dict(zip(names, row, strict=True)) for row in random.normal(size=(60, len(names)))] for _ in "AB")
    probes = {probe.name: probe for probe in probe_groups(of_a, of_b)}
    assert not probes[group.name].tells
    shifted = [image | {group.numbers[0].name: image[group.numbers[0].name] + 4} for image in of_b]
    probes = {probe.name: probe for probe in probe_groups(of_a, shifted)}
    assert [name for name, probe in probes.items() if probe.tells] == [group.name, "all"]
    assert probes[group.name].most.number == group.numbers[0]


def test_the_bound_holds_for_guesses_and_says_when_nothing_can_be_known():
    random = np.random.default_rng(0)
    a, b = 30, 90
    guesses = (random.binomial(a, 0.5, 200_000) / a + random.binomial(b, 0.5, 200_000) / b) / 2
    assert (guesses > chance_bound(a, b)).mean() < 0.002
    assert chance_bound(1000, 1000) < 0.54
    assert chance_bound(4, 4) == 1
    assert chance_bound(0, 9) == 1


def test_with_few_images_it_says_that_it_cannot_know(folder, run):
    for path in sorted((folder / "trainA").iterdir())[3:]:
        path.unlink()
    assert "Nothing can be said: 3 of A and 18 of B, copies left out, are too few" in run("check", str(folder))
    jpeg(Image.open(folder / "trainA/trainA_00.png"), folder / "trainA/copy.png")
    assert "Nothing can be said: 3 of A and 18 of B, copies left out, are too few" in run("check", str(folder))


# --- the facts of one image ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [25, 30, 49, 50, 51, 75, 90, 95, 100])
def test_the_quality_of_a_jpeg_is_that_it_was_saved_with(tmp_path, quality):
    picture(0).save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        assert jpeg_quality(image.quantization[0]) == pytest.approx(quality, abs=1.5)


def test_a_large_jpeg_that_is_decoded_at_a_fraction_has_the_facts_of_the_whole(tmp_path):
    picture(1, (800, 600)).save(tmp_path / "a.jpg", quality=95, exif=exif(6))
    facts = read_facts(100, ImageFile("trainA", "a.jpg", tmp_path / "a.jpg"))
    whole, _ = decode(tmp_path / "a.jpg")
    assert (facts.width, facts.height) == whole.size == (600, 800)
    small = whole.resize((100, 133), Image.Resampling.LANCZOS)
    bits = np.unpackbits(facts.fingerprint.view(np.uint8)).reshape(16, 16).astype(bool)
    assert (bits != imagehash.phash(small, 16).hash).sum() <= MOST_BITS / 3
    expected = numbers_of(small)
    assert {name: facts.numbers[name] for name in expected} == pytest.approx(expected, rel=0.1, abs=1)


def test_the_numbers_are_those_of_numpy():
    image = picture(2, (64, 48))
    pixels = np.asarray(image, float)
    inside, numbers = pixels[6:42, 8:56], numbers_of(image)
    red, green, blue = inside.mean(axis=(0, 1))
    assert numbers["warmth"] == pytest.approx(red - blue)
    assert numbers["greenness"] == pytest.approx(green - (red + blue) / 2)
    ring = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    assert numbers["border_blue"] == pytest.approx(ring[:, 2].mean())


def test_noise_is_measured_in_gray_levels():
    random = np.random.default_rng(0)
    gray = (128 + random.normal(0, 5, (200, 200))).round().astype(np.uint8)
    assert numbers_of(Image.fromarray(gray).convert("RGB"))["noise"] == pytest.approx(5, rel=0.1)


def test_a_frame_is_as_wide_as_it_is():
    image = ImageOps.expand(picture(3, (80, 90)), (10, 5), "black")
    numbers = numbers_of(image)
    assert (numbers["plain_left_and_right"], numbers["plain_above_and_below"]) == (10, 5)


# --- files and messages --------------------------------------------------------------------------------------------


def test_unreadable_and_small_files_are_named_with_the_reason_that_prepare_gives(folder, run):
    (folder / "trainA/a broken.png").write_bytes((folder / "trainA/trainA_00.png").read_bytes()[:5000])
    (folder / "trainB/text.jpg").write_text("this is no picture")
    picture(700, (31, 80)).save(folder / "testA/small.png")
    (folder / "trainA/list.txt").write_text("a list")
    found = findings(checked(folder))[0]
    assert found.headline == "3 files cannot be used."
    assert found.files[0].startswith("trainA/a broken.png: cannot be decoded: image file is truncated")
    assert found.files[1:] == [
        "trainB/text.jpg: not an image that can be read; PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF can",
        "testA/small.png: 31x80 pixels; at least 32 per side are needed",
    ]
    assert "trainA: 1 other entry ignored (.txt: 1)" in run("check", str(folder))


def test_the_page_tells_sizes_kinds_and_the_largest_image_size(folder, run):
    (folder / "trainA/sub").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (60, 70), dtype=np.uint16)).save(
        folder / "trainA/sub/deep.png"
    )
    picture(800).convert("CMYK").save(folder / "trainB/print.jpg")
    picture(801).convert("RGBA").save(folder / "testB/glass.png")
    page = run("check", str(folder))
    rows = {line.split()[0]: line.split() for line in page.splitlines() if line.strip()}
    assert rows["trainA"][:9] == ["trainA", "19", "60", "80", "80", "PNG", "1", "16", "bits,"]
    assert rows["trainB"] == ["trainB", "19", "80", "80", "80", "1", "JPEG,", "18", "PNG", "1", "CMYK"]
    assert rows["testB"][-2:] == ["1", "transparency"]
    assert "data.image_size may be 60 at most, because trainA/sub/deep.png has 70x60." in " ".join(page.split())


def test_a_few_small_images_that_limit_the_size_are_named(folder, run):
    picture(810, (40, 50)).save(folder / "trainB/tiny.png")
    page = " ".join(run("check", str(folder)).split())
    assert "data.image_size may be 40 at most, because trainB/tiny.png has 40x50." in page
    assert "Without the 1 smallest (trainB/tiny.png) it may be 80." in page


def test_names_from_outside_take_no_effect_on_the_page(folder, run):
    for split in ("trainA", "testA"):
        picture(900).save(folder / split / "[bold]\x1b[31mred\n.png")
    page = run("check", str(folder))
    assert "testA/[bold]\ufffd[31mred\ufffd.png = trainA/[bold]\ufffd[31mred\ufffd.png" in " ".join(page.split())
    assert "\x1b" not in page


def test_uneven_and_small_sets_are_told(folder):
    for path in sorted((folder / "trainB").iterdir())[5:]:
        path.unlink()
    headlines = [finding.headline for finding in findings(checked(folder))]
    assert "trainB has only 5 usable images." in headlines
    assert "trainA has 18 images and trainB only 5." in headlines


def test_too_few_for_prepare_is_told_first_and_is_no_failure(folder, run):
    for split in ("testA", "testB"):
        for path in (folder / split).iterdir():
            path.unlink()
        (folder / split).rmdir()
    for path in sorted((folder / "trainA").iterdir())[1:]:
        path.unlink()
    first = findings(checked(folder))[0]
    assert first.headline == "trainA: 1 usable image, at least 3 needed, 2 of them to hold back for tests."
    assert "no testA: gcl prepare will hold back a share of trainA" in " ".join(run("check", str(folder)).split())


def test_without_test_folders_copies_in_training_are_told_to_leak(folder):
    for path in (folder / "testA").iterdir():
        path.unlink()
    (folder / "testA").rmdir()
    jpeg(Image.open(folder / "trainA/trainA_00.png"), folder / "trainA/copy.png")
    first = findings(checked(folder))[0]
    assert first.headline == "1 of 19 images of trainA looks like another one there."
    assert "invalidates the metrics" in first.advice


def test_empty_folders_are_told(folder, run):
    for split in COUNTS:
        for path in (folder / split).iterdir():
            path.unlink()
    assert "trainA: no usable images, at least 1 needed." in run("check", str(folder))


def test_the_same_folder_gives_the_same_page_and_the_same_bytes(folder, tmp_path, run):
    change(folder, "trainB", darker)
    pages = [run("check", str(folder), "--json", str(tmp_path / f"{number}.json")) for number in (1, 2)]
    first, second = ((tmp_path / f"{number}.json").read_bytes() for number in (1, 2))
    assert pages[0] == pages[1] and first == second
    contents = json.loads(first)
    assert contents["largest_image_size"] == 80
    assert len(contents["images"]) == sum(COUNTS.values())
    colour = next(group for group in GROUPS if group.name == "colour")
    (probe,) = [probe for probe in contents["probes"] if probe["name"] == "colour"]
    assert probe["most"]["number"] in [number._asdict() for number in colour.numbers]
    assert contents["findings"][0]["headline"].startswith("Brightness and colour alone told A from B for 100 of 100")


def test_a_folder_that_cannot_be_used_is_told_as_prepare_does(folder, tmp_path, failure):
    (folder / "trainB").rename(folder / "trainC")
    with pytest.raises(UserError, match=r"photos: trainB missing\nexpected:\n  .*photos/\n    trainA/"):
        checked(folder)
    with pytest.raises(UserError, match=r"nowhere: no such folder\nexpected:"):
        checked(tmp_path / "nowhere")
    (tmp_path / "photos.zip").write_bytes(b"PK")
    archive = tmp_path / "photos.zip"
    assert failure("check", str(archive)) == (
        f"error: {archive}: a file, not a folder; unpack an archive before it is checked"
    )


def test_a_json_file_without_a_folder_is_told_before_the_work(folder, tmp_path, failure, monkeypatch):
    monkeypatch.setattr(check, "check_folder", None)
    told = "error: --json {}: name a file in a folder that exists"
    for file in (tmp_path / "none/check.json", tmp_path):
        assert failure("check", str(folder), "--json", str(file)) == told.format(file)


@pytest.fixture
def run(ended):
    """Runs a command that has to succeed, in this process: run("check", ...) returns what it prints."""

    def run(*arguments: str) -> str:
        status, written = ended(*arguments)
        assert status == 0
        return written.out

    return run
