"""How sure the student is: constants fitted on tuning images hold on others, and no verb fits where none does."""

import numpy as np
import pytest

from components.evaluation import situation
from components.evaluation.report import Table
from components.recipes.mipd import certainty
from components.recipes.mipd.decode import confidence, logit

SPACE = {"verbs": {v: {"order": ["agent", "tool"]} for v in ("rowing", "surfing", "reading")},
         "nouns": {f"n{i}": {"gloss": [f"noun {i}"]} for i in range(1, 6)}}


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, V] in which the own verb stands out in most images, and the columns of these verbs."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, 6, count)
    logits = rng.normal(0, 1, (count, 6))
    logits[np.arange(count), own] += rng.normal(4, 1.5, count)
    return logits, own


def test_what_was_fitted_on_some_images_holds_on_others():
    constants = certainty.fit_verbs(*images(3000, 0))
    logits, own = images(3000, 1)
    fits, misses = (confidence(constants["fits"], best) for best in (logits.max(1), certainty.withheld(logits, own)))
    assert (fits >= constants["abstain_below"]).mean() == pytest.approx(certainty.KEPT, abs=0.03)
    assert (misses < constants["abstain_below"]).mean() > 0.6
    both, truth = np.concatenate([fits, misses]), np.repeat([1.0, 0.0], 3000)
    middle = (both > 0.3) & (both < 0.7)
    assert truth[middle].mean() == pytest.approx(both[middle].mean(), abs=0.1)


def test_a_withheld_name_does_not_compete():
    logits = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert certainty.withheld(logits, np.array([0, -1])).tolist() == [2.0, 5.0]
    assert logits[0, 0] == 3.0  # the caller's own are left alone


def predicted(count: int, seed: int) -> tuple[list[dict], dict]:
    """Predictions whose confidences are honest for nouns and twice too high for boxes, and the annotations."""
    rng = np.random.default_rng(seed)
    made, truth = [], {}
    for i in range(count):
        name, verb = f"{i}.jpg", str(rng.choice(list(SPACE["verbs"])))
        frame, entry = {}, {"verb": verb, "width": 100, "height": 100, "frames": [{}, {}, {}], "bb": {}}
        for role in ("agent", "tool"):
            said, box_said = rng.uniform(0.05, 0.95, 2)
            noun = "n1" if rng.random() < said else "n2"
            for one in entry["frames"]:
                one[role] = "n1"
            right = rng.random() < box_said / 2
            entry["bb"][role] = [10, 10, 60, 60]
            frame[role] = {"noun": noun, "name": noun, "score": said, "box_score": box_said,
                           "box": [10.0, 10.0, 60.0, 60.0] if right else [70.0, 70.0, 90.0, 90.0]}
        truth[name] = entry
        right_verb = rng.random() < 0.7
        ranked = sorted(SPACE["verbs"], key=lambda v, verb=verb, first=right_verb: (v == verb) != first)
        made.append({"image": name, "verbs": ranked, "scores": [0.7, 0.2, 0.1], "fits": 0.8, "confident": True,
                     "frames": dict.fromkeys(ranked, frame), "withheld": {"fits": 0.3, "confident": i % 4 == 0}})
    return made, truth


def test_roles_are_calibrated_against_what_is_really_right():
    made, truth = predicted(1500, 0)
    found = certainty.roles_of(made, situation.score(made, truth, SPACE, convention="jsl", average="image"),
                               truth)
    assert len(found.noun) == len(found.box) == 3000
    constants = certainty.fit_roles(found)
    assert constants["noun_right"] == pytest.approx([1, 0], abs=0.15)  # honest before: left as it is
    said = confidence(constants["box_right"], np.log(found.area), logit(found.of_box))
    assert said.mean() == pytest.approx(found.box_right.mean(), abs=0.01)
    assert said[found.area > 0.1].mean() > 0.9 and said[found.area < 0.1].mean() < 0.1  # here all large ones are right


def test_the_report_says_how_far_confidences_hold():
    made, truth = predicted(1500, 1)
    scores = situation.score(made, truth, SPACE, convention="jsl", average="verb")
    metrics, tables = certainty.measure(made, scores, truth, {"seen": scores.verbs != "reading",
                                                              "unseen": scores.verbs == "reading"})
    assert metrics["noun.calibration_error"] < 0.05 < 0.2 < metrics["box.calibration_error"]
    assert metrics["verb.calibration_error"] < 0.05
    assert metrics["unseen.misfits_found"] == pytest.approx(0.75, abs=0.05)
    assert metrics["seen.fits_kept"] == 1 and metrics["seen.fits_auroc"] == 1
    assert metrics["aurc.best"] < metrics["aurc"] == pytest.approx(0.3, abs=0.1)
    curve = tables["risk_coverage"]
    assert len(curve["coverage"]) == len(curve["risk"]) == 21 and curve["coverage"][-1] == 1 == curve["covered"]
    assert curve["wrong"] == pytest.approx(curve["risk"][-1])
    honest, fitting = (Table(**shown) for shown in tables["shown"])
    assert [row[0] for row in honest.rows] == ["verb", "noun", "box"] and honest.rows[2][2] > 20
    assert [row[:2] for row in fitting.rows] == [["seen", 100.0], ["unseen", 100.0]]
    for kind in ("verb", "noun", "box"):
        assert sum(tables["confidence"][kind]["count"]) in (1500, 3000)


def test_predictions_without_boxes_or_withheld_names_are_measured_as_far_as_they_go():
    made, truth = predicted(30, 2)
    for one in made:
        del one["withheld"]
        for frame in one["frames"].values():
            for role in frame.values():
                role["box"] = role["box_score"] = None
    scores = situation.score(made, truth, SPACE, convention="jsl", average="verb")
    metrics, tables = certainty.measure(made, scores, truth, {"seen": np.ones(30, bool)})
    assert "box.calibration_error" not in metrics and not any(name.startswith("seen.") for name in metrics)
    assert set(tables["confidence"]) == {"verb", "noun"} and len(tables["shown"]) == 1
    assert set(certainty.fit_roles(certainty.roles_of(made, scores, truth))) == {"noun_right"}
