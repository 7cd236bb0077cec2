"""Confidence is earned: probabilities that hold, two sides told apart, risk that falls with coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation.calibration import reliability
from components.evaluation.confidence import aurc, fit_logistic, risk_coverage, told_apart

ROWS = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.booleans()), min_size=2, max_size=30)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_it_finds_the_curve_that_made_the_data():
    rng = np.random.default_rng(0)
    evidence = rng.normal([40, -2], [7, 0.5], (20_000, 2))
    chance = sigmoid(evidence @ [0.3, 2.0] - 7)
    right = rng.random(20_000) < chance
    weights = fit_logistic(evidence, right)
    assert weights == pytest.approx([0.3, 2.0, -7], rel=0.08)
    assert reliability(sigmoid(evidence @ weights[:2] + weights[2]), right).ece < 0.015


def test_it_mends_a_boastful_model():
    rng = np.random.default_rng(1)
    honest = rng.random(5000)
    right = rng.random(5000) < honest
    boastful = 5 * np.log(honest / (1 - honest)) + 2
    a, b = fit_logistic(boastful[:, None], right)
    assert reliability(sigmoid(boastful), right).ece > 0.15 > 0.03 > reliability(sigmoid(a * boastful + b), right).ece


def test_few_examples_give_no_certainty():
    a, b = fit_logistic(np.array([[1.0], [2.0], [3.0]]), np.array([True] * 3))
    assert np.allclose(sigmoid(a * np.arange(4) + b), 0.8, atol=0.01)
    a, b = fit_logistic(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([False, False, True, True]))  # parted cleanly
    assert sigmoid(a + b) == pytest.approx(0.75, abs=0.01)
    same, _, _ = fit_logistic(np.array([[7.0, 0.0], [7.0, 1.0]]), np.array([False, True]))
    assert same == 0.0  # what never changes tells nothing
    for bad in (np.zeros((0, 1)), np.array([[np.nan], [1.0]]), np.zeros(3)):
        with pytest.raises(ValueError, match="finite"):
            fit_logistic(bad, np.ones(len(bad), bool))


@settings(deadline=None)
@given(ROWS)
def test_no_curve_nearby_is_likelier(rows):
    evidence, right = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
    weights = np.array(fit_logistic(evidence, right))
    good, bad = right.sum(), (~right).sum()
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))

    def loss(w):
        z = evidence @ w[:2] + w[2]
        return (np.logaddexp(0, z) - target * z).sum()

    assert np.isfinite(weights).all()
    assert all(loss(weights) <= loss(weights + by * row) + 1e-5 for by in (-0.02, 0.02) for row in np.eye(3))


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.lists(st.integers(-5, 5), min_size=1, max_size=12))
def test_told_apart_counts_pairs(fits, misses):
    slow = np.mean([(f > m) + (f == m) / 2 for f in fits for m in misses])
    assert told_apart(np.array(fits), np.array(misses)) == pytest.approx(slow)


def test_risk_over_coverage():
    coverage, risk = risk_coverage(np.array([0.9, 0.1, 0.5, 0.7]), np.array([1, 0, 0, 1]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0] and risk.tolist() == [0, 0, 1 / 3, 0.5]
    right = np.array([1, 0, 0, 1])
    assert aurc(np.array([4, 1, 2, 3]), right) < aurc(np.array([1, 4, 3, 2]), right)
    assert aurc(np.arange(4), np.ones(4)) == 0.0
