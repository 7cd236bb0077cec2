"""NeaR's pure functions, and its baselines' own: by hand, at their limits, and in any order of the images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recipes.near import candidates, divide_mix, joapr, losses, refine, split

RNG = np.random.default_rng


def world(seed: int = 0, images: int = 60, names: int = 6):
    """Clusters of features, one a name, a quarter of the names wrong: (features, names given, true names)."""
    rng = RNG(seed)
    true = rng.integers(0, names, images)
    features = rng.standard_normal((names, 16))[true] + 0.3 * rng.standard_normal((images, 16))
    wrong = rng.random(images) < 0.25
    return features, np.where(wrong, rng.integers(0, names, images), true), true


def test_neighbours_by_hand():
    features = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 3], [1, 1]])
    near, cosine = candidates.neighbours(features, 2)
    assert near.tolist() == [[1, 4], [0, 4], [3, 4], [2, 4], [3, 1]] or near[4].tolist() in ([3, 1], [1, 3])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert cosine[0] == pytest.approx([unit[0] @ unit[1], unit[0] @ unit[4]])
    mutual, _ = candidates.neighbours(features, 2, mutual=True)
    for i, row in enumerate(near):
        assert set(mutual[i]) - {-1} == {j for j in row if i in near[j]}


def test_more_neighbours_than_images_and_a_single_image():
    near, cosine = candidates.neighbours(np.eye(3), 5)
    assert (near[:, 2:] == -1).all() and np.isneginf(cosine[:, 2:]).all() and (near[:, :2] >= 0).all()
    near, cosine = candidates.neighbours(np.ones((1, 4)), 3)
    assert near.tolist() == [[-1, -1, -1]]
    assert candidates.candidate_targets(np.array([0]), near, cosine, 2).tolist() == [[1, 0]]
    assert candidates.neighbours(np.zeros((4, 3)), 2)[0].shape == (4, 2)  # vectors without direction


@pytest.mark.parametrize("k", [0, 1, 3, 10])
def test_candidate_sets_hold_the_own_name_and_no_stranger(k):
    features, names, _ = world()
    near, cosine = candidates.neighbours(features, k)
    allowed = candidates.candidate_sets(names, near, 8)  # two names that nobody bears
    assert allowed[np.arange(60), names].all() and not allowed[:, 6:].any()
    assert (allowed.sum(1) <= k + 1).all()
    target = candidates.candidate_targets(names, near, cosine, 8)
    assert target.sum(1) == pytest.approx(1) and ((target > 0) <= allowed).all()
    assert (target[np.arange(60), names] >= 0.5 - 1e-12).all()
    assert candidates.uniform_targets(allowed).sum(1) == pytest.approx(1)


def test_the_first_target_by_hand():
    names = np.array([0, 1, 1, 2])
    near = np.array([[1, 3], [0, -1], [-1, -1], [0, 1]])
    cosine = np.array([[0.9, 0.83], [0.4, -np.inf], [-np.inf, -np.inf], [0.5, 0.5]])
    target = candidates.candidate_targets(names, near, cosine, 3, own=0.6)
    nearer = 1 / (1 + np.exp(-1))  # cosines one temperature apart
    assert target == pytest.approx(np.array([[0.6, 0.4 * nearer, 0.4 * (1 - nearer)], [0.4, 0.6, 0], [0, 1, 0],
                                             [0.2, 0.2, 0.6]]))


def test_no_neighbours_or_all_trust_is_plain_cross_entropy():
    features, names, _ = world()
    plain = np.eye(6)[names]
    for k, own in ((0, 0.5), (5, 1.0)):
        target = candidates.candidate_targets(names, *candidates.neighbours(features, k), 6, own=own)
        assert np.array_equal(target, plain)
    near, _ = candidates.neighbours(features, 0)
    predicted = RNG(1).dirichlet(np.ones(6), 60)
    allowed = candidates.candidate_sets(names, near, 6)
    new = refine.refine(plain, predicted, allowed, RNG(2).random(60), RNG(3).random(60) > 0.5)
    assert np.array_equal(new, plain)
    logits = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    assert losses.soft_cross_entropy(logits, torch.tensor(plain, dtype=torch.float32)) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, torch.tensor(names))), rel=1e-6)


def test_neighbours_correct_wrong_names():
    features, names, true = world(images=240)
    near, cosine = candidates.neighbours(features, 5)
    corrected = candidates.candidate_targets(names, near, cosine, 6, own=0.3).argmax(1)
    assert (corrected == true).mean() > (names == true).mean() + 0.1
    text = candidates.with_text(features, np.eye(6, 16), names)
    assert text.shape == features.shape


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9))
def test_projection_keeps_to_the_candidates(seed, images, names):
    rng = RNG(seed)
    predicted = rng.dirichlet(np.ones(names), images)
    allowed = rng.random((images, names)) < 0.5
    allowed[:, 0] = True
    kept = refine.project(predicted, allowed)
    assert not kept[~allowed].any() and kept.sum(1) == pytest.approx(1)
    assert np.array_equal(refine.project(predicted, np.ones_like(allowed)), predicted)
    share = kept[allowed] * (predicted * allowed).sum(1)[np.nonzero(allowed)[0]]
    assert share == pytest.approx(predicted[allowed])


def test_projection_of_a_prediction_without_mass_inside():
    kept = refine.project(np.array([[0, 0, 1.0]]), np.array([[True, True, False]]))
    assert kept.tolist() == [[0.5, 0.5, 0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 1.0, 2.0]))
def test_sharpening(seed, temperature):
    target = RNG(seed).dirichlet(np.ones(5) * 0.3, 4)
    sharp = refine.sharpen(target, temperature)
    assert np.isfinite(sharp).all() and sharp.sum(1) == pytest.approx(1)
    assert (sharp.argmax(1) == target.argmax(1)).all()
    if temperature == 0.5:
        assert sharp == pytest.approx(target**2 / (target**2).sum(1, keepdims=True))  # JoAPR's way of writing it
    if temperature == 1:
        assert sharp is target
    tiny = refine.sharpen(np.array([[1e-200, 0.0]]), 0.1)
    assert tiny.tolist() == [[1, 0]]


def test_refining_without_candidates_is_divide_mix_bit_for_bit():
    rng = RNG(0)
    names, weight = rng.integers(0, 5, 30), rng.random(30)
    predicted = rng.dirichlet(np.ones(5), 30)
    clean = weight > 0.5
    told = np.eye(5)[names]
    ours = refine.refine(told, predicted, np.ones((30, 5), bool), weight, clean)
    assert np.array_equal(ours, refine.refine(told, predicted, None, weight, clean))
    views, other = rng.dirichlet(np.ones(5), (2, 30)), rng.dirichlet(np.ones(5), (2, 30))
    co_refined = divide_mix.co_refined(names, views, weight)
    mean = views.mean(0)
    expected = weight[:, None] * np.eye(5)[names] + (1 - weight[:, None]) * mean
    assert co_refined == pytest.approx(expected**2 / (expected**2).sum(1, keepdims=True))
    guessed = divide_mix.co_guessed(views, other)
    expected = (views.sum(0) + other.sum(0)) / 4
    assert guessed == pytest.approx(expected**2 / (expected**2).sum(1, keepdims=True))


def test_noisy_images_forget_their_name_within_the_candidates():
    names = np.array([0, 0])
    predicted = np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    allowed = np.array([[True, False, True]] * 2)
    new = refine.refine(np.eye(3)[names], predicted, allowed, np.array([0.8, 0.8]), np.array([True, False]),
                        temperature=1)
    assert new == pytest.approx(np.array([[0.85, 0, 0.15], [0.25, 0, 0.75]]))
    rows = refine.audit(["a", "b"], ["wren", "ruff", "smew"], np.array([0.1, 2.0]), np.array([0.9, 0.2]),
                        np.array([True, False]), np.eye(3)[names], new)
    assert [(r["image"], r["clean"], r["old"], r["new"]) for r in rows] == [
        ("a", True, "wren", "wren"), ("b", False, "wren", "smew")]


def noisy_losses(seed: int = 0, clean: int = 300, noisy: int = 100):
    rng = RNG(seed)
    return np.concatenate([rng.normal(0.5, 0.15, clean), rng.normal(3, 0.5, noisy)]), np.arange(clean + noisy) < clean


def test_the_mixture_finds_the_noisy_names():
    found, truth = noisy_losses()
    made = split.split(found)
    assert (made.clean() == truth).mean() > 0.98 and split.auroc(made.weight, truth) > 0.99
    assert made.gaussians[0][0] < made.gaussians[0][1] and made.scaled.min() == 0 and made.scaled.max() == 1


def test_the_same_split_for_any_order():
    found, _ = noisy_losses(1)
    order = RNG(0).permutation(len(found))
    assert np.array_equal(split.split(found).weight[order],
                          split.split(found[order]).weight)


@pytest.mark.parametrize("given_losses", [[0.7], [0.7, 0.7], [0.1, 0.9], [2.0] * 50, [0.0] * 49 + [0.0],
                                          RNG(0).normal(1, 0.2, 400)])
def test_without_two_modes_all_are_clean(given_losses):
    made = split.split(np.array(given_losses))
    assert (made.weight == 1).all() and made.clean().all() and made.gaussians is None
    assert np.isfinite(made.scaled).all()
    assert joapr.clean(made)[0].all() and joapr.crossing(made) == 1


def test_the_mean_of_the_last_epochs():
    found, truth = noisy_losses(2)
    history = np.stack([split.scale(RNG(i).permutation(found)) for i in range(7)])
    made = split.split(found, history)
    assert made.scaled == pytest.approx(np.vstack([history[-4:], split.scale(found)]).mean(0))
    assert split.split(found, history[:0]).scaled == pytest.approx(split.scale(found))


@pytest.mark.parametrize("bad", [[], [0.1, np.nan], [[0.1]], [np.inf, 0]])
def test_losses_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="finite losses"):
        split.split(np.array(bad, float))


def test_the_crossing_is_where_both_gaussians_are_equally_dense():
    made = split.split(noisy_losses(3)[0])
    at, (mean, deviation, share) = joapr.crossing(made), made.gaussians
    dense = share / deviation * np.exp(-((at - mean) ** 2) / (2 * deviation**2))
    assert dense[0] == pytest.approx(dense[1], rel=1e-6) and mean[0] < at < mean[1]
    below = split.Split(made.scaled, made.weight, (mean, np.array([1e-9, 1.0]), share))
    assert mean[0] <= joapr.crossing(below) <= mean[1]
    same = split.Split(made.scaled, made.weight, (np.array([0.3, 0.3]), np.array([0.1, 0.1]), np.array([0.9, 0.1])))
    assert joapr.crossing(same) == pytest.approx(0.3)


def test_the_adaptive_threshold_of_joapr():
    made = split.split(noisy_losses(4)[0])
    clean, following = joapr.clean(made, 0.5)
    assert following == pytest.approx(1 - (made.weight > 0.5).mean())
    assert np.array_equal(clean, (made.scaled < joapr.crossing(made)) | (made.weight > following))
    confidence = RNG(0).random(400)
    assert np.array_equal(joapr.weights(made, confidence), made.weight * confidence)
    assert np.array_equal(joapr.weights(made), made.weight)


def test_mixing_and_its_ramp():
    rng = RNG(0)
    shares = [divide_mix.mixing(4, rng) for _ in range(200)]
    assert min(shares) >= 0.5 and 0.55 < np.mean(shares) < 0.75
    assert np.mean([divide_mix.mixing(0.001, rng) for _ in range(200)]) > 0.98  # JoAPR's: hardly any
    assert divide_mix.mixed(np.array([1.0, 0]), np.array([0, 1.0]), 0.75).tolist() == [0.75, 0.25]
    assert [divide_mix.unlabelled_weight(e, 10) for e in (0, 10, 18, 26, 99)] == [0, 0, 12.5, 25, 25]


def test_losses_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, 3**0.5]], dtype=torch.float64).requires_grad_()
    p = torch.softmax(logits, 1)
    target = torch.tensor([[0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)
    each = -(target * p.log()).sum(1)
    assert losses.each_loss(logits, target).tolist() == pytest.approx(each.tolist())
    mean = p.mean(0)
    assert losses.evenness(logits).item() == pytest.approx((0.5 * (0.5 / mean).log()).sum().item())
    assert float(losses.evenness(torch.zeros(3, 4))) == pytest.approx(0, abs=1e-6)
    assert losses.confidence_penalty(logits).item() == pytest.approx((p * p.log()).sum(1).mean().item())
    assert losses.squared(logits, target).mean().item() == pytest.approx(((p - target) ** 2).mean().item())
    extreme = torch.tensor([[1e4, -1e4]], requires_grad=True)
    total = sum(f(extreme) for f in (losses.evenness, losses.confidence_penalty))
    (total + losses.soft_cross_entropy(extreme, torch.tensor([[1.0, 0.0]]))).backward()
    assert torch.isfinite(total) and torch.isfinite(extreme.grad).all()


def test_semantic_accuracy_with_the_sentence_encoder():
    from components.encoders import text
    from components.evaluation.clustering import score

    true = ["House Sparrow", "Golden Retriever", "Sports Car"]
    images = ["a", "b", "c"]
    exact, near, far = (score(images, names, true, encode=text.raw, encoder="MiniLM").numbers["semantic_accuracy"]
                        for names in (true, ["Tree Sparrow", "Labrador Retriever", "Racing Car"], true[1:] + true[:1]))
    assert exact == pytest.approx(1, abs=1e-5) and exact - 0.1 > near > far + 0.2
