"""Better or worse than doing nothing: which metrics decide, and what is said of them."""

import pytest

from gcl.measures.verdict import BETTER, MIXED, SAME, WORSE, verdict_on


def row(name: str, value: float, untranslated: float | None, better: str = "lower", **others: str | None) -> dict:
    told = {"compares": "sets", "misleads": None, "note": None}
    return {"name": name, "value": value, "untranslated": untranslated, "better": better, **told, **others}


@pytest.mark.parametrize(
    "rows, word, worse",
    [
        ([row("fid", 4.26, 0.7), row("kid", 0.3, 0.1)], WORSE, ["fid", "kid"]),
        ([row("fid", 0.5, 10.2), row("iou_mean", 0.9, 0.1, "higher")], BETTER, []),
        ([row("fid", 0.5, 10.2), row("iou_mean", 0.1, 0.9, "higher")], MIXED, ["iou_mean"]),
        ([row("kid", -0.001, 0.002), row("fid", 2.0, 2.0)], BETTER, []),
        ([row("fid", 2.0, 2.0), row("iou_mean", 0.3, 0.3, "higher")], SAME, []),
    ],
)
def test_the_metrics_beside_their_yardsticks_decide(rows, word, worse):
    verdict = verdict_on(rows)
    assert (verdict.word, verdict.worse) == (word, worse)


@pytest.mark.parametrize(
    "other",
    [
        row("psnr_to_truth", 9.0, 20.0, "higher", misleads="no stripe can be known"),
        row("lpips_to_input", 3.0, 0.0, "neither"),
        row("iou_mean", 0.1, None, "higher"),
    ],
)
def test_what_misleads_has_no_better_side_or_no_yardstick_has_no_say(other):
    fid = row("fid_small", 0.5, 10.2)
    assert verdict_on([fid, other]) == verdict_on([fid])


def test_the_sentence_has_the_numbers():
    told = verdict_on([row("fid", 4.2649, 0.7), row("kid", 0.3, 0.1), row("iou_mean", 0.1, 0.2, "higher")]).sentence
    assert told == (
        "Worse than doing nothing: the untranslated test images score better than their translations by "
        "fid (4.265, untranslated 0.7), kid (0.3, untranslated 0.1) and iou_mean (0.1, untranslated 0.2)."
    )


def test_the_sentence_names_both_sides_and_a_disagreement_about_sets():
    told = verdict_on([row("fid_small", 1, 2), row("kid_small", 0.2, 0.1)]).sentence
    assert (
        "score better than their translations by kid_small (0.2, untranslated 0.1), and worse by fid_small (1, " in told
    )
    assert told.endswith("fid_small and kid_small disagree: look at the pictures.")
    regions = row("iou_mean", 0.1, 0.2, "higher", compares="regions")
    assert "disagree" not in verdict_on([row("fid_small", 1, 2), regions]).sentence


def test_the_sentence_warns_of_a_biased_metric():
    told = verdict_on([row("fid", 1, 2, note="biased, since 8 samples are too few"), row("kid", 1, 2)]).sentence
    assert told.endswith("Beware of fid: biased, since 8 samples are too few.")


def test_the_sentence_says_a_shared_note_once():
    told = verdict_on([row("fid", 1, 2, note="cropped"), row("kid", 1, 2, note="cropped")]).sentence
    assert told.endswith("Beware of fid and kid: cropped.")
