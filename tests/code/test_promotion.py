"""The promotion decision is a pure, monotone function that states every reason, passed or failed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recipes.protocol import Gates
from components.registry.comparison import Evaluation, change
from components.registry.decision import Decision, decide

GATES = Gates(headline="top1", minimum={"top1": 0.3, "top1.unseen": 0.2}, protected={"top1": 0.02, "top1.rare": 0.05},
              budgets={"parity": 1e-3, "int8_loss": 0.02, "latency_ms": 20.0, "size_mb": 60.0})
METRICS = ("top1", "top1.unseen", "top1.rare")
QUALITY = {"dataset": True, "rationales": True, "predictions": True}


def evaluation(right: int = 70, of: int = 100, **metrics: float) -> Evaluation:
    scores = {f"{i}.jpg": float(i < right) for i in range(of)}
    return Evaluation(metrics={"top1": right / of, "top1.unseen": 0.5, "top1.rare": 0.5, **metrics},
                      per_sample={"top1": scores},
                      edge={"parity": 1e-5, "int8_loss": 0.01, "latency_ms": 5.0, "size_mb": 30.0}, quality=QUALITY)


def failed(decision: Decision) -> list[str]:
    return [r.check for r in decision.failed]


def test_without_a_champion_bars_and_budgets_decide():
    decision = decide(evaluation(), None, GATES)
    assert decision.promote
    assert {r.check for r in decision.reasons} == {
        "quality.dataset", "quality.predictions", "quality.rationales", "minimum.top1", "minimum.top1.unseen",
        "budget.parity", "budget.int8_loss", "budget.latency_ms", "budget.size_mb", "champion"}


def test_every_reason_is_written_down_even_when_all_fail():
    worst = Evaluation(metrics={"top1": 0.1, "top1.unseen": 0.0, "top1.rare": 0.0},
                       per_sample={"top1": {f"{i}.jpg": float(i < 10) for i in range(100)}},
                       edge={"parity": 1.0, "int8_loss": 0.5, "latency_ms": 99.0, "size_mb": 999.0},
                       quality=dict.fromkeys(QUALITY, False))
    decision = decide(worst, evaluation(), GATES)
    assert not decision.promote and len(decision.failed) == len(decision.reasons) == 12
    texts = {r.check: r.text for r in decision.reasons}
    assert texts["minimum.top1"] == "top1 0.1 is below the bar 0.3"
    assert texts["budget.latency_ms"] == "latency_ms 99 exceeds the limit 20"
    assert texts["protected.top1.rare"] == "top1.rare 0 (champion 0.5) falls by more than 0.05"
    assert texts["quality.dataset"] == "the quality gate on dataset failed"
    assert texts["headline.better"].startswith("top1 differs from the champion's by -0.6") and "not better" in texts[
        "headline.better"]


@pytest.mark.parametrize(("change", "check"), [
    (lambda e: replace(e, quality={**QUALITY, "rationales": False}), "quality.rationales"),
    (lambda e: replace(e, quality={"dataset": True}), "quality.predictions"),
    (lambda e: replace(e, metrics={**e.metrics, "top1.unseen": 0.19}), "minimum.top1.unseen"),
    (lambda e: replace(e, metrics={**e.metrics, "top1.unseen": math.nan}), "minimum.top1.unseen"),
    (lambda e: replace(e, metrics={k: v for k, v in e.metrics.items() if k != "top1.unseen"}), "minimum.top1.unseen"),
    (lambda e: replace(e, metrics={**e.metrics, "top1.rare": 0.44}), "protected.top1.rare"),
    (lambda e: replace(e, metrics={**e.metrics, "top1.rare": math.inf}), "protected.top1.rare"),
    (lambda e: replace(e, edge={**e.edge, "parity": 2e-3}), "budget.parity"),
    (lambda e: replace(e, edge={**e.edge, "latency_ms": math.nan}), "budget.latency_ms"),
    (lambda e: replace(e, edge={**e.edge, "size_mb": None}), "budget.size_mb"),
    (lambda e: replace(e, edge={}), "budget.int8_loss"),
])
def test_one_fault_alone_rejects_and_is_named(change, check):
    assert decide(evaluation(80), evaluation(70), GATES).promote
    decision = decide(change(evaluation(80)), evaluation(70), GATES)
    assert not decision.promote and check in failed(decision)
    assert {c.partition(".")[0] for c in failed(decision)} == {check.partition(".")[0]}


def test_the_same_model_again_is_not_better():
    assert failed(decide(evaluation(), evaluation(), GATES)) == ["headline.better"]


def test_better_in_the_point_estimate_but_uncertain_is_rejected():
    """51 images gained and 49 lost: the interval of the difference reaches far below -.02."""
    champion = replace(evaluation(), per_sample={"top1": {f"{i}.jpg": float(i < 49) for i in range(100)}})
    candidate = replace(evaluation(), per_sample={"top1": {f"{i}.jpg": float(i >= 49) for i in range(100)}})
    assert failed(decide(candidate, champion, GATES)) == ["headline.not_worse"]


def test_without_a_margin_the_gain_must_be_significant():
    strict = replace(GATES, protected={})
    close = decide(evaluation(71), evaluation(70), strict)
    assert [(r.check, r.text.split()[-2:]) for r in close.failed] == [("headline.not_worse", ["above", "0"])]
    assert decide(evaluation(80), evaluation(70), strict).promote


def test_another_test_version_is_refused_whatever_the_scores():
    decision = decide(replace(evaluation(99), test="new"), replace(evaluation(10), test="old"), GATES)
    assert failed(decision) == ["test"] and "(champion old, candidate new)" in decision.failed[0].text
    assert failed(decide(replace(evaluation(99), test="new"), evaluation(10), GATES)) == ["test"]  # nor an unknown one
    assert decide(replace(evaluation(99), test="new"), replace(evaluation(10), test="new"), GATES).promote


def test_other_images_are_not_compared():
    other = replace(evaluation(), per_sample={"top1": {f"x{i}.jpg": 1.0 for i in range(100)}})
    decision = decide(other, evaluation(), GATES)
    assert failed(decision) == ["headline"] and "scored on other images" in decision.failed[0].text
    assert failed(decide(evaluation(80, of=110), evaluation(70), GATES)) == ["headline"]


def sourced(right: dict[str, int], of: int = 50) -> Evaluation:
    """So many of `of` images right from each source."""
    scores = {f"{s}{i}": float(i < n) for s, n in right.items() for i in range(of)}
    made = replace(evaluation(), metrics={"top1": sum(scores.values()) / len(scores)}, per_sample={"top1": scores})
    return replace(made, sources={f"{s}{i}": s for s in right for i in range(of)})


def test_a_source_may_not_fall_though_the_whole_rises():
    gates = Gates("top1", {}, {}, {}, per_source={"top1": 0.05})
    before, after = sourced({"day": 20, "night": 25}), sourced({"day": 45, "night": 22})
    decision = decide(after, before, gates)
    assert failed(decision) == ["source.night"]
    assert decision.failed[0].text == "top1 on 50 images from night 0.44 (champion 0.5) falls by more than 0.05"
    assert decide(sourced({"day": 45, "night": 23}), before, gates).promote


def test_a_source_of_few_images_is_named_and_not_judged():
    gates = Gates("top1", {}, {}, {}, per_source={"top1": 0.05})
    few = {f"n{i}": "night" for i in range(29)} | {f"d{i}": "day" for i in range(60)}
    before, after = (replace(evaluation(), per_sample={"top1": {i: float(s == good) for i, s in few.items()}},
                             sources=few) for good in ("night", "day"))
    decision = decide(after, before, gates)
    assert decision.promote and any("not judged: fewer than 30" in r.text for r in decision.reasons)


def test_one_source_is_no_slice():
    gates = Gates("top1", {}, {}, {}, per_source={"top1": 0.0})
    assert not [r for r in decide(sourced({"a": 40}), sourced({"a": 30}), gates).reasons if "source" in r.check]


def test_means_are_over_labels_as_the_metrics_are():
    """90 images of a common label all right, 10 of a rare one all wrong: the mean over labels is one half."""
    labels = {f"{i}.jpg": "common" if i < 90 else "rare" for i in range(100)}
    found = change("top1", replace(evaluation(90), labels=labels), evaluation(0))
    assert found.after[0] == found.gain[0] == pytest.approx(0.5) and found.before == (0.0, 0.0, 0.0)
    assert change("top1", evaluation(90), evaluation(0)).after[0] == pytest.approx(0.9)


def test_a_change_covers_the_truth_as_often_as_it_says():
    """Of many draws from a known world, some 95 % of the intervals hold the true gain of 0.1."""
    rng, held = np.random.default_rng(0), 0
    for seed in range(100):
        before, after = rng.random(150) < 0.5, rng.random(150) < 0.6
        old, new = (replace(evaluation(), per_sample={"top1": {str(i): float(v) for i, v in enumerate(values)}})
                    for values in (before, after))
        found = change("top1", new, old, seed=seed)
        held += found.gain[1] <= 0.1 <= found.gain[2]
    assert 88 <= held <= 99


@pytest.mark.parametrize(("scores", "text"), [
    ({}, "the candidate has no top1.seen per image"),
    ({"top1": {}}, "the candidate has no top1 per image"),
    ({"top1": {"0.jpg": math.nan}}, "the candidate has a non-finite top1 for 0.jpg"),
])
def test_missing_or_broken_scores_per_image_are_a_failed_reason(scores, text):
    decision = decide(replace(evaluation(), per_sample=scores), evaluation(), GATES)
    assert not decision.promote and text in decision.failed[0].text


def test_a_champion_without_the_protected_metric_must_be_evaluated_again():
    champion = replace(evaluation(), metrics={"top1": 0.7})
    assert failed(decide(evaluation(90), champion, GATES)) == ["protected.top1.rare"]


def harmonic(seen: int, unseen: int) -> Evaluation:
    s, u = seen / 100, unseen / 100
    return replace(evaluation(), metrics={"h": 2 * s * u / (s + u) if s + u else 0.0}, per_sample={
        "h.seen": {f"s{i}": float(i < seen) for i in range(100)},
        "h.unseen": {f"u{i}": float(i < unseen) for i in range(100)}})


def test_a_harmonic_headline_is_compared_by_its_two_parts():
    gates = Gates(headline="h", minimum={}, protected={"h": 0.01}, budgets={})
    decision = decide(harmonic(80, 60), harmonic(80, 40), gates)
    (better,) = [r for r in decision.reasons if r.check == "headline.better"]
    assert decision.promote and better.value == pytest.approx(2 * 0.8 * 0.6 / 1.4 - 2 * 0.8 * 0.4 / 1.2)
    assert failed(decide(harmonic(95, 30), harmonic(80, 40), gates)) == ["headline.better", "headline.not_worse"]
    assert failed(decide(harmonic(0, 0), harmonic(0, 0), gates)) == ["headline.better"]


def test_where_lower_is_better_the_gain_is_a_fall():
    gates = Gates(headline="top1", minimum={}, protected={}, budgets={}, higher_is_better=False)
    assert decide(evaluation(60), evaluation(80), gates).promote
    assert failed(decide(evaluation(80), evaluation(60), gates)) == ["headline.better", "headline.not_worse"]


def test_a_decision_survives_json():
    decision = decide(evaluation(80), evaluation(70), GATES)
    assert Decision.from_dict(decision.as_dict()) == decision


unit = st.floats(0, 1)
evaluations = st.builds(
    lambda bits, unseen, rare, latency, quality: Evaluation(
        metrics={"top1": sum(bits) / len(bits), "top1.unseen": unseen, "top1.rare": rare},
        per_sample={"top1": {str(i): float(b) for i, b in enumerate(bits)}},
        edge={"parity": 1e-5, "int8_loss": 0.0, "latency_ms": latency, "size_mb": 1.0},
        quality={"dataset": quality, "predictions": True}),
    st.lists(st.booleans(), min_size=20, max_size=20), unit, unit, st.floats(1, 40), st.booleans())


@settings(max_examples=60, deadline=None)
@given(evaluations, st.none() | evaluations, st.sampled_from(METRICS[1:]), unit, st.floats(0, 40), st.integers(0, 19))
def test_an_improvement_never_turns_promotion_into_rejection(candidate, champion, metric, gain, saved, image):
    before = decide(candidate, champion, GATES)
    scores = {**candidate.per_sample["top1"], str(image): 1.0}
    better = replace(candidate, quality=dict.fromkeys(candidate.quality, True), per_sample={"top1": scores},
                     metrics={**candidate.metrics, "top1": sum(scores.values()) / 20,
                              metric: min(1.0, candidate.metrics[metric] + gain)},
                     edge={**candidate.edge, "latency_ms": max(0.0, candidate.edge["latency_ms"] - saved)})
    after = decide(better, champion, GATES)
    passed = {r.check for r in before.reasons if r.passed}
    assert passed <= {r.check for r in after.reasons if r.passed}
    assert after.promote or not before.promote


@settings(max_examples=40, deadline=None)
@given(evaluations, evaluations)
def test_of_two_models_at_most_one_replaces_the_other(a, b):
    assert not (decide(a, b, GATES).promote and decide(b, a, GATES).promote)


@settings(max_examples=40, deadline=None)
@given(evaluations, st.none() | evaluations)
def test_the_decision_is_pure_and_is_the_conjunction_of_its_reasons(candidate, champion):
    decision = decide(candidate, champion, GATES)
    assert decision == decide(candidate, champion, GATES)
    assert decision.promote == all(r.passed for r in decision.reasons)
    assert len({r.check for r in decision.reasons}) == len(decision.reasons)
    assert all(r.text for r in decision.reasons)
