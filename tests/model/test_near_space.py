"""Where NeaR compares images, and names that cover two kinds: found without a look at a true class."""

import numpy as np

from components.recipes.near import candidates
from components.recipes.near.config import Align
from components.recipes.near.space import SECOND, divided, whitened
from components.recipes.near.targets import targets_of


def pictures(seed: int = 0, light: float = 12.0):
    """Views [60, 3, 400] of four kinds that differ little, under light that differs much; and the kinds [60]."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(4), 15)
    image = rng.normal(0, 2.0, (4, 400))[kind] + rng.normal(0, 1.0, (60, 400))
    image = image + light * rng.normal(size=(60, 2)) @ rng.normal(size=(2, 400))
    return (image[:, None] + rng.normal(0, 0.1, (60, 3, 400))).astype(np.float32), kind


def alike(space: np.ndarray, kind: np.ndarray) -> float:
    near, _ = candidates.neighbours(space, 5)
    return (kind[near] == kind[:, None]).mean()


def test_whitening_finds_neighbours_of_the_same_kind():
    views, kind = pictures()
    plain = views[:, 0]
    assert alike(whitened(views), kind) > alike((plain - plain.mean(0)) / plain.std(0), kind) + 0.2


def test_a_name_of_two_kinds_is_divided_and_one_of_a_single_kind_is_not():
    views, kind = pictures(light=0)
    names = np.array(["wren", "wren", "jay", "ruff"])[kind]
    names[:4] = "wren"
    found = np.array(divided(names, whitened(views), 0.08))
    assert set(found) == {"wren", f"wren{SECOND}", "jay", "ruff"}
    assert len(set(found[kind == 0])) == 1 and len({*found[kind == 0], *found[kind == 1]}) == 2
    assert divided(names, whitened(views), 0.0) == list(names)


def test_few_images_are_no_second_kind():
    views, kind = pictures(light=0)
    names = np.array(["wren", "ruff", "jay", "smew"])[kind]
    names[kind == 1] = "snipe"
    names[15:18] = "wren"  # three of another kind
    assert divided(names, whitened(views), 0.08) == list(names)


def test_names_that_were_divided_can_be_whole_again():
    views, kind = pictures(light=0)
    names = np.array(["wren", "wren", "jay", "ruff"])[kind].tolist()
    targets = targets_of([str(i) for i in range(60)], names, views, Align())
    whole = targets.undivided()
    assert len(targets.vocabulary) == 4 and whole.vocabulary == ["jay", "ruff", "wren"]
    assert [whole.vocabulary[c] for c in whole.names] == names and np.array_equal(whole.near, targets.near)


def test_a_name_that_one_image_bears_counts_as_a_neighbours_only():
    names, near = np.array([0, 1, 1]), np.array([[1], [2], [0]])
    target = candidates.candidate_targets(names, near, np.ones((3, 1)), 2, support=2)
    assert target.tolist() == [[0, 1], [0, 1], [0.5, 0.5]]
    assert candidates.candidate_targets(names, near, np.ones((3, 1)), 2, own=1.0, support=2)[0].tolist() == [1, 0]
