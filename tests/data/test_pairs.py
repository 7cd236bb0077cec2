"""The drawn pairs: every attribute shows on every object, pictures vary, proportions are UT-Zappos', nothing tells."""

from collections import Counter

import numpy as np
import pytest

from components.base.errors import UserError
from components.datasets.leak import check_leaks
from components.datasets.pairs import answers
from components.datasets.pairs.catalogue import ATTRIBUTES, LOOKS, OBJECTS, WEAR
from components.datasets.pairs.drawn import draw_pairs
from components.datasets.pairs.pairing import PairsSpec, counts
from components.datasets.pairs.sheet import contact_sheet
from components.datasets.pairs.splitting import split
from components.datasets.pairs.world import draw
from components.datasets.store import Dataset


def test_words_are_enough():
    assert len(ATTRIBUTES) >= 16 and len(OBJECTS) >= 12
    assert set(LOOKS) == set(ATTRIBUTES) and set(OBJECTS.values()) == set(WEAR)
    for attribute, said in LOOKS.items():
        assert attribute not in {word for words in said.values() for word in words}


@pytest.mark.parametrize("thing", ["bag", "bowl", "chair", "kettle"])  # one of each material
def test_every_attribute_shows(thing):
    """With pose, place and light the same, two attributes differ in a good part of the thing."""
    pictures = {a: draw(a, thing, 5, 64, clear=True).astype(int) for a in ATTRIBUTES}
    for i, a in enumerate(ATTRIBUTES):
        for b in ATTRIBUTES[i + 1:]:
            assert (abs(pictures[a] - pictures[b]).max(2) > 25).mean() > .05, (a, b)


def test_the_same_attribute_looks_different_on_different_materials():
    """Stripes run upright on cloth and level on ceramic: their gradients point elsewhere."""
    def direction(thing: str) -> float:
        level, upright = 0.0, 0.0
        for seed in range(4):
            grey = draw("striped", thing, seed, 96, clear=True).mean(2)[24:72, 24:72]
            level, upright = level + abs(np.diff(grey, axis=0)).mean(), upright + abs(np.diff(grey, axis=1)).mean()
        return upright / level
    assert direction("shirt") > 1.2 > .9 > direction("mug")


def test_a_picture_depends_on_pair_and_seed_alone():
    one, again, other = draw("wet", "mug", 1), draw("wet", "mug", 1), draw("wet", "mug", 2)
    assert one.shape == (128, 128, 3) and one.dtype == np.uint8
    assert np.array_equal(one, again) and (abs(one.astype(int) - other).max(2) > 40).mean() > .2


@pytest.mark.parametrize("seed", [0, 7])
def test_proportions_are_those_of_ut_zappos(seed):
    found = counts(PairsSpec(seed=seed))
    train, val, test = (set(found[name]) for name in ("train", "val", "test"))
    sizes = (len(train), len(val & train), len(val - train), len(test & train), len(test - train))
    assert sizes == (83, 15, 15, 18, 18)
    assert not (val - train) & (test - train)
    assert [sum(found[name].values()) for name in ("train", "val", "test")] == [2300, 321, 291]
    ranked = sorted(found["train"].values(), reverse=True)
    assert sum(ranked[:8]) > .4 * sum(ranked) and ranked[-1] >= 1 and ranked[0] > 40 * ranked[-1]  # a long tail
    for column, words in enumerate((ATTRIBUTES, OBJECTS)):
        seen = Counter(pair[column] for pair in train)
        assert min(seen[w] for w in words) >= 3


def test_too_few_pictures_are_refused():
    with pytest.raises(UserError, match="draw at least 83"):
        counts(PairsSpec(train=50))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Dataset:
    return draw_pairs(tmp_path_factory.mktemp("pairs") / "dataset", PairsSpec(2, 120, 40, 44, 48), workers=1)


def test_a_dataset_knows_its_sets_and_its_files_tell_nothing(drawn):
    splits = split(drawn, 2)
    assert [len(getattr(splits, s)) for s in ("train", "dev", "test")] == [120, 40, 44]
    assert [len(splits.verbs[g]) for g in ("pseudo_unseen", "unseen")] == [15, 18]
    assert len(splits.verbs["common"]) + len(splits.verbs["rare"]) == 83
    check_leaks(drawn, splits)
    words = {*ATTRIBUTES, *OBJECTS}
    for sample in drawn.samples(images=False):
        assert not any(word in f"{sample.name} {sample.source}" for word in words)
    mixed = [drawn.labels[i] for i in drawn.ids]
    assert sum(a == b for a, b in zip(mixed, mixed[1:], strict=False)) < 30
    train = set(drawn.space["pair_sets"]["train"])
    assert {drawn.labels[i] for i in splits.train} == train


def test_the_recorded_teacher_is_mostly_right_and_errs_as_told(drawn):
    samples = list(drawn.samples(images=False)) * 5
    said = [(drawn.space["pairs"][s.label], answers.looks(s, drawn.space["pairs"][s.label], seed))
            for seed in range(5) for s in samples[:len(drawn)]]
    assert all(len(words) == len(set(words)) == 3 for _, words in said)
    true = [w in {x for of in LOOKS[pair[0]].values() for x in of} for pair, words in said for w in words
            if w != pair[0]]
    assert .8 < np.mean(true) < .95
    assert .02 < np.mean([pair[0] in words for pair, words in said]) < .09
    assert answers.looks(samples[0], ("wet", "mug")) == answers.looks(samples[0], ("wet", "mug"))


def test_the_contact_sheet_shows_every_pair():
    sheet = np.asarray(contact_sheet(side=32))
    assert sheet.shape == (14 + 32 * len(ATTRIBUTES), 56 + 32 * len(OBJECTS), 3)
