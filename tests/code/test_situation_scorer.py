"""The situation scorer against the field's fixtures and against a slow scorer written from the definitions alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_situations import SPACE, VOCABULARY, draw, slow

from components.base.errors import UserError
from components.evaluation.situation import NUMBERS, harmonic, role_accuracy, score, slices
from components.evaluation.situation_fixtures import self_test


@pytest.mark.parametrize(("name", "right"), self_test())
def test_fixture(name, right):
    assert right, name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), convention=st.sampled_from(["jsl", "coformer"]),
       average=st.sampled_from(["verb", "image", "script"]), vocabulary=st.sampled_from([None, VOCABULARY]))
def test_equals_slow_scorer(seed, count, convention, average, vocabulary):
    predictions, annotations = draw(np.random.default_rng(seed), count)
    scores = score(predictions, annotations, SPACE, convention=convention, average=average, vocabulary=vocabulary)
    expected = slow(predictions, annotations, convention, average, vocabulary)
    assert scores.numbers == pytest.approx(expected, abs=1e-9)
    assert list(scores.numbers) == list(NUMBERS)
    assert scores.averaged("image") == pytest.approx(slow(predictions, annotations, convention, "image", vocabulary))


def test_random_draws_tell_conventions_and_averages_apart():
    """The property test would be blind if its draws never met a case in which the conventions differ."""
    predictions, annotations = draw(np.random.default_rng(0), 400)
    jsl, coformer = (score(predictions, annotations, SPACE, convention=c, vocabulary=VOCABULARY)
                     for c in ("jsl", "coformer"))
    assert {n for n in NUMBERS if jsl.numbers[n] != coformer.numbers[n]} == {n for n in NUMBERS if "value" in n}
    assert all(jsl.numbers[n] != jsl.averaged("image")[n] for n in NUMBERS if n != "top5_verb")
    assert jsl.averaged("script")["top1_verb"] == jsl.averaged("image")["top1_verb"]
    assert jsl.averaged("script")["top1_value"] == jsl.averaged("verb")["top1_value"]


@pytest.mark.parametrize("convention", ["jsl", "coformer"])
def test_averages_agree_where_verbs_have_equal_counts(convention):
    predictions, annotations = draw(np.random.default_rng(1), 120, balanced=True)
    scores = score(predictions, annotations, SPACE, convention=convention)
    assert scores.averaged("verb") == pytest.approx(scores.averaged("image"), abs=1e-9)


def test_one_frame_scores_as_three_equal_ones():
    predictions, annotations = draw(np.random.default_rng(2), 30)
    three = {n: a | {"frames": a["frames"][:1] * 3} for n, a in annotations.items()}
    one = {n: a | {"frames": a["frames"][:1]} for n, a in annotations.items()}
    assert score(predictions, three, SPACE).numbers == score(predictions, one, SPACE).numbers


def test_slices_select_images_and_roles_of_their_verbs():
    predictions, annotations = draw(np.random.default_rng(3), 80)
    whole = score(predictions, annotations, SPACE)
    groups = {"seen": {"riding", "resting"}, "unseen": {"feeding", "looking", "waving", "rowing"}, "none": {"flying"}}
    parts = slices(whole, groups)
    assert list(parts) == ["seen", "unseen"]
    for name, part in parts.items():
        kept = {n: a for n, a in annotations.items() if a["verb"] in groups[name]}
        alone = score([p for p in predictions if p["image"] in kept], kept, SPACE)
        assert part.images == alone.images
        assert part.numbers == alone.numbers
        assert role_accuracy(part).keys() == role_accuracy(alone).keys()
        np.testing.assert_equal(role_accuracy(part), role_accuracy(alone))


def test_role_accuracy_counts_nouns_and_boxes_apart():
    truth = {"verb": "riding", "width": 40, "height": 40,
             "frames": [{"agent": "n1", "vehicle": "n2", "place": "n3"}] * 3,
             "bb": {"agent": [0, 0, 10, 10], "vehicle": [0, 0, 10, 10], "place": [-1] * 4}}
    frame = {"agent": {"noun": "n9", "box": [0, 0, 10, 6]}, "vehicle": {"noun": "n2", "box": [0, 0, 10, 5]},
             "place": {"noun": "n3", "box": [0, 0, 5, 5]}}
    prediction = {"image": "a", "verbs": ["riding"], "frames": {"riding": frame}}
    roles = role_accuracy(score([prediction], {"a": truth}, SPACE))
    assert roles["agent"] == {"count": 1, "noun": 0.0, "grounded": 1, "box": 1.0}
    assert roles["vehicle"] == {"count": 1, "noun": 1.0, "grounded": 1, "box": 0.0}
    assert (roles["place"]["noun"], roles["place"]["grounded"]) == (1.0, 0)
    assert np.isnan(roles["place"]["box"])


def test_mean_is_of_the_eight_numbers_without_boxes():
    scores = score(*draw(np.random.default_rng(4), 50), SPACE)
    n = scores.numbers
    eight = [n[k] for k in ("top1_verb", "top1_value", "top1_value_all", "top5_verb", "top5_value", "top5_value_all",
                            "gt_value", "gt_value_all")]
    assert scores.mean == pytest.approx(sum(eight) / 8)


def test_by_verb_averages_to_the_headline():
    scores = score(*draw(np.random.default_rng(8), 60), SPACE)
    each = scores.by_verb("top1_value")
    assert each.keys() == set(scores.verbs)
    assert np.mean(list(each.values())) == pytest.approx(scores.numbers["top1_value"])
    assert each["riding"] == pytest.approx(scores.values("top1_value")[scores.verbs == "riding"].mean())


def test_harmonic_mean():
    assert harmonic(0.5, 0.5) == 0.5
    assert harmonic(0.9, 0.0) == 0.0 == harmonic(0.0, 0.0)
    assert harmonic(0.6, 0.3) == pytest.approx(0.4)


def broken(change):
    """One good prediction and its truth, changed by `change(predictions, annotations)`."""
    predictions, annotations = draw(np.random.default_rng(5), 3, balanced=True)
    predictions = sorted(predictions, key=lambda p: p["image"])  # feeding_2, resting_1, riding_0
    change(predictions, annotations)
    return predictions, annotations


BROKEN = {
    "feeding_2.jpg: predicted more than once": lambda p, a: p.append(p[0]),
    "riding_0.jpg: has no prediction": lambda p, a: p.pop(),
    "feeding_2.jpg: has no annotation": lambda p, a: a.pop("feeding_2.jpg"),
    "no image to score": lambda p, a: (p.clear(), a.clear()),
    "feeding_2.jpg: prediction without 'verbs'": lambda p, a: p[0].pop("verbs"),
    "feeding_2.jpg: no frame for the true verb": lambda p, a: p[0]["frames"].clear(),
    "'tool' of verb 'feeding' is missing": lambda p, a: p[0]["frames"]["feeding"].pop("tool"),
    "'food' of verb 'feeding' is missing": lambda p, a: a["feeding_2.jpg"]["frames"][1].pop("food"),
    "field 'noun' of role 'tool' of verb": lambda p, a: p[0]["frames"]["feeding"]["tool"].pop("noun"),
    "verb 'flying' is not in the lexicon": lambda p, a: a["feeding_2.jpg"].update(verb="flying"),
    "4 annotator frames": lambda p, a: a["feeding_2.jpg"]["frames"].append({}),
    "role 'agent' is not [x1": lambda p, a: p[0]["frames"]["feeding"]["agent"].update(box=[5, 5, 1, 9]),
    "role 'food' is not [x1": lambda p, a: a["feeding_2.jpg"]["bb"].update(food=[1, 2, 3]),
    "role 'place' is not [x1": lambda p, a: p[0]["frames"]["feeding"]["place"].update(box=[0, 0, float("inf"), 1]),
    "existence logit": lambda p, a: p[0]["frames"]["feeding"]["place"].update(box=[0, 0, 1, 1], exists=float("nan")),
}


@pytest.mark.parametrize("message", BROKEN)
def test_mismatch_is_named(message):
    with pytest.raises(UserError) as error:
        score(*broken(BROKEN[message]), SPACE)
    assert message in str(error.value)


@pytest.mark.parametrize("options", [{"convention": "coco"}, {"average": "role"}])
def test_unknown_option_is_named(options):
    with pytest.raises(UserError, match=str(next(iter(options.values())))):
        score(*draw(np.random.default_rng(6), 2), SPACE, **options)
