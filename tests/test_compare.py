"""The comparison of variants on made-up runs: the numbers and the text of its page, its pictures, and mistakes."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gcl.errors import UserError
from gcl.measures.statistics import bootstrap_interval
from tests.made_up_runs import Runs, add_seeds, made_up


@pytest.fixture
def runs(settings, tmp_path, monkeypatch) -> Runs:
    """Made-up runs. Drawing their pictures takes seconds, so what they would show is kept in ``drawn`` instead."""
    runs = made_up(settings, tmp_path)
    for name in ("draw_metrics", "draw_samples"):
        monkeypatch.setattr(
            f"pipeline.stages.compare.{name}", lambda shown, _, name=name: runs.drawn.update({name: shown})
        )
    return runs


def test_one_seed_has_values_and_paired_differences(runs):
    page = runs.compare()
    told = " ".join(page.split())
    assert "One seed (0): differences within the spread" in told and "±" not in page and "†" not in page
    assert "set `ablate.seeds` in params.yaml to measure it" in told
    assert runs.row("main") == ["0.5", "0.5", "50 s", "no"]
    assert runs.row("no_pooling") == ["0.75", "0.75<br>+0.25 [+0.25, +0.25]", "75 s", "no"]
    assert runs.row("same") == ["0.5", "0.5<br>0 [0, 0]", "50 s", "no"]
    assert runs.row("untranslated A") == ["9.5", "9.5", "-", "-"]
    assert runs.row("another A") == ["-"] * 4 and runs.row("real B") == ["0.0725", "-", "-", "-"]
    assert "| `no_pooling`<br>pooling: false |" in page and "`lpips_small_to_truth`<br>lower is better" in page


def test_several_seeds_have_spreads_and_a_mark_where_they_come_apart(runs):
    add_seeds(runs)
    told = " ".join(runs.compare().split())
    assert "3 seeds (0, 1, 2)" in told and "One seed" not in told and "chance alone would do that in 10 %" in told
    assert runs.row("main") == ["0.6 ± 0.1", "0.5 ± 0", "60 ± 10 s", "no"]
    assert runs.row("no_pooling") == ["0.85 ± 0.1<br>+0.25 †", "0.75 ± 0<br>+0.25 [+0.25, +0.25] †", "85 ± 10 s", "no"]
    assert runs.row("same") == ["0.5 ± 0<br>-0.1", "0.5 ± 0<br>0 [0, 0]", "50 ± 0 s", "no"]


def test_differences_pair_seeds_and_images(runs):
    """The interval is that of the difference per image, averaged over seeds."""
    add_seeds(runs)
    random = np.random.default_rng(6)
    pairs = {(name, seed): random.random(9) for name in ("main", "same") for seed in range(3)}
    for (name, seed), pair in pairs.items():
        where = runs.root / "reports" if (name, seed) == ("main", 0) else runs.folder(name, seed)
        table = pd.read_csv(where / "per_image.csv", dtype={"image": str}).assign(lpips_small_to_truth=pair)
        table.to_csv(where / "per_image.csv", index=False)
    runs.compare()
    difference = np.mean([pairs["same", seed] - pairs["main", seed] for seed in range(3)], axis=0)
    low, high = bootstrap_interval(difference, runs.params.evaluate.seed)
    assert f"{difference.mean():+.3g} [{low:+.3g}, {high:+.3g}]" in runs.row("same")[1]


def test_every_variant_stands_beside_doing_nothing(runs):
    runs.compare()
    assert runs.verdicts() == ["better", "better", "better", "-", "-", "-"]
    assert "**" not in runs.page.split("## Results")[0]
    runs.change(lpips_small_to_truth={"untranslated": 0.6})
    runs.compare()
    assert runs.verdicts() == ["better", "mixed: worse by `lpips_small_to_truth`", "better", "-", "-", "-"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_by_a_metric_that_no_variant_betters_none_is_compared(runs, seeds):
    """The other metric is compared as usual."""
    if seeds > 1:
        add_seeds(runs)
    runs.change(lpips_small_to_truth={"untranslated": 0.4, "value": 0.5})
    told = " ".join(runs.compare().split())
    assert "By `lpips_small_to_truth` every variant is worse than *untranslated A*" in told
    assert "bootstrap" not in told and "Every variant is worse than doing nothing" not in told
    fid, lpips = runs.row("no_pooling")[:2]
    assert "<br>" not in lpips and "†" not in lpips and ("<br>+0.25 †" in fid) == (seeds > 1)
    panels = runs.drawn["draw_metrics"]
    assert set(panels[1].intervals.values()) == {None} and "nothing is compared" in panels[1].note
    assert (panels[0].intervals["main"] is None) == (seeds == 1)


def test_where_every_variant_fails_nothing_is_compared(runs):
    """Variants are not even compared by a metric that is not judged."""
    add_seeds(runs)
    runs.change(
        fid_small={"untranslated": 0.1},
        lpips_small_to_truth={"name": "lpips_small_to_input", "untranslated": 0.0, "better": "neither"},
    )
    for file in runs.root.rglob("per_image.csv"):
        file.write_text(file.read_text().replace("to_truth", "to_input", 1))
    page = runs.compare()
    assert runs.verdicts() == ["**worse**"] * 3 + ["-"] * 3
    assert page.count("**Every variant is worse than doing nothing") == 1 and "bootstrap" not in page
    assert [mark for mark in ("†", "<br>+", "<br>-") if mark in page] == []
    assert {interval for panel in runs.drawn["draw_metrics"] for interval in panel.intervals.values()} == {None}
    assert json.loads((runs.root / "reports/ablation.json").read_text())["same"]["fid_small"] == 0.5


def test_the_distance_to_the_input_has_no_better_side(runs):
    runs.change(lpips_small_to_truth={"name": "lpips_small_to_input", "untranslated": 0.0, "better": "neither"})
    for file in runs.root.rglob("per_image.csv"):
        file.write_text(file.read_text().replace("to_truth", "to_input", 1))
    told = " ".join(runs.compare().split())
    assert "`lpips_small_to_input`<br>neither side is better" in told
    assert "None of these metrics has a better side" in told and runs.verdicts()[0] == "better"
    assert runs.row("no_pooling")[1] == "0.75<br>+0.25 [+0.25, +0.25]" and runs.row("untranslated A")[1] == "0"


def test_the_page_says_what_is_left_out_and_what_features_are_worth(runs):
    page = runs.compare()
    assert "- This page leaves out `psnr_to_truth`, because it is blind." in page
    assert "psnr_to_truth" not in page.split("## Results")[1].split("- *Beside")[0]
    assert "psnr_to_truth" not in json.loads((runs.root / "reports/ablation.json").read_text())["main"]
    assert "- The features of `fid_small`, `lpips_small_to_truth` are the small network's." in page


def test_an_evaluation_of_an_earlier_version_is_refused(runs):
    file = runs.folder("same", 0) / "evaluation.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{key: row[key] for key in row if key != "misleads"} for row in rows]))
    with pytest.raises(UserError, match=r"same/seed_0/evaluation.json was written by an earlier version"):
        runs.compare()


def test_warnings_and_notes_stand_on_the_page(runs):
    file = runs.root / "prepared/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"warnings": ["`a|b` <img onerror=x>"]}))
    runs.change(fid_small={"note": "biased, since 9 samples are few"})
    page = runs.compare()
    assert r"**\`a\|b\` &lt;img onerror=x&gt;.**" in page and "- `fid_small`: biased, since 9 samples are few." in page


def test_a_rerun_gives_the_same_bytes(settings, tmp_path):
    runs, names = made_up(settings, tmp_path), ("ablation.md", "ablation/metrics.png", "ablation/translations.png")
    add_seeds(runs)

    def results() -> list[bytes]:
        runs.compare()
        return [(tmp_path / "reports" / name).read_bytes() for name in names]

    assert results() == results()
    assert str(tmp_path) not in runs.page
    assert Image.open(tmp_path / "reports" / names[1]).width > 400


def test_a_new_variant_is_a_row_and_may_lack_a_metric(runs):
    runs.settings["ablate"]["variants"]["far"] = {"threshold": 0.9, "adjacency": "separate"}
    runs.write("far", 0, np.zeros(9), 0.25)
    file = runs.folder("far", 0) / "evaluation.json"
    file.write_text(json.dumps([row for row in json.loads(file.read_text()) if row["name"] != "lpips_small_to_truth"]))
    page = runs.compare()
    assert "`far`<br>threshold: 0.9, adjacency: separate" in page
    assert runs.row("far") == ["0.25", "-", "25 s", "no"]


def test_seeds_that_saturated_are_named(runs):
    add_seeds(runs)
    for seed in (0, 2):
        file = runs.folder("same", seed) / "curves.csv"
        file.write_text("step,discriminator\n2,0.0099\n4,0.2\n")
    runs.compare()
    assert [runs.row(name)[-1] for name in ("main", "no_pooling", "same")] == ["no", "no", "**seed 0, 2**"]


def test_the_density_is_told_where_there_is_one(runs):
    assert "possible edges" not in runs.compare()
    (runs.root / "reports" / "curves.csv").write_text("step,discriminator,graph_density\n2,0.2,0.6\n4,0.2,0.4\n")
    assert "ended with 0.4 of all possible edges" in runs.compare()


@pytest.mark.parametrize("paired", [True, False])
def test_the_strip_has_a_row_a_variant_and_the_truth_if_known(runs, paired):
    manifest = runs.root / "prepared" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"paired": true', f'"paired": {str(paired).lower()}'))
    page = runs.compare()
    strip = runs.drawn["draw_samples"]
    assert list(strip) == ["input (A)", "main", "no_pooling", "same"] + ["truth (B)"] * paired
    assert {tuple(path.stem for path in row) for row in strip.values()} == {("000", "002", "003", "005", "006", "008")}
    assert strip["main"][0].parent == runs.root / "translated"
    assert strip["same"][0].parent == runs.folder("same", 0) / "translated"
    assert ("and the truth" in page) == paired


def test_the_picture_shows_seeds_and_their_intervals(runs):
    runs.compare()
    assert runs.drawn["draw_metrics"][0].intervals["same"] is None
    add_seeds(runs)
    runs.compare()
    fid, lpips = runs.drawn["draw_metrics"]
    assert list(fid.by_seed) == ["main", "no_pooling", "same"] and fid.by_seed["main"] == [0.5, 0.6, 0.7]
    assert fid.intervals["main"] == pytest.approx((0.5, 0.7)) and "standard deviation" in fid.note
    assert lpips.intervals["main"] == bootstrap_interval(np.arange(9) / 8, runs.params.evaluate.seed)
    assert "untranslated 9.5, real 0.0725" in fid.title and "test images" in lpips.note


@pytest.mark.parametrize(
    "file, command",
    [
        ("reports/evaluation.json", "gcl evaluate"),
        ("reports/curves.csv", "gcl train"),
        ("translated/000.png", "gcl translate"),
        ("run.json", "gcl train"),
        *((f"ablations/same/seed_0/{name}", "gcl ablate same") for name in ("per_image.csv", "translated/008.png")),
    ],
)
def test_a_missing_file_is_named_with_the_command_that_makes_it(runs, file, command):
    (runs.root / file).unlink()
    with pytest.raises(UserError) as error:
        runs.compare()
    assert file in str(error.value) and str(error.value).endswith(f"run: {command}")
    assert not (runs.root / "reports" / "ablation.md").exists()


def test_a_run_without_its_time_is_named(runs):
    (runs.folder("same", 0) / "run.json").write_text('{"run_id": null}')
    with pytest.raises(UserError, match="no training_seconds in it; run: gcl ablate same"):
        runs.compare()


def test_more_seeds_need_the_main_variant(runs):
    runs.settings["ablate"]["seeds"] = 2
    with pytest.raises(UserError, match=r"main: \{\}"):
        runs.compare()


def test_runs_on_other_images_are_refused(runs):
    file = runs.folder("same", 0) / "per_image.csv"
    file.write_text(file.read_text().replace("008", "009"))
    with pytest.raises(UserError, match=r"other test images.*gcl ablate same"):
        runs.compare()
