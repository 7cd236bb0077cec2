"""Tests of the drawn world: same bytes every time, sound lexicon and splits, sane boxes, believable annotators."""

import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from components.datasets.scenes import placements, stage
from components.datasets.scenes.annotators import BROAD_CHANCE, OPEN_CHANCE
from components.datasets.scenes.lexicon import (
    AGENTS,
    NOUNS,
    PLACES,
    POSES,
    PSEUDO_UNSEEN,
    RARE,
    SEEN,
    UNSEEN,
    VERBS,
    allowed_nouns,
    broader,
    space,
    train_counts,
)
from components.datasets.scenes.places import PLACE_ART
from components.datasets.scenes.sheet import contact_sheet
from components.datasets.scenes.world import draw, encode

ROOT = Path(__file__).resolve().parents[2]


def _fingerprint(seeds: range) -> str:
    digest = sha256()
    for k, verb in enumerate(VERBS):
        for seed in seeds:
            digest.update(encode(draw(verb, seed + k).image))
    return digest.hexdigest()


def test_same_bytes_twice_and_in_another_process() -> None:
    code = (
        "from tests.data.test_scenes import _fingerprint\n"
        if (ROOT / "tests/__init__.py").exists()
        else "import sys; sys.path.insert(0, 'tests/data')\nfrom test_scenes import _fingerprint\n"
    ) + "print(_fingerprint(range(2)))"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = _fingerprint(range(2))
    assert here == _fingerprint(range(2))
    assert other.stdout.strip() == here


def test_order_of_drawing_does_not_matter() -> None:
    first = draw("biking", 5)
    draw("sleeping", 1)
    again = draw("biking", 5)
    assert np.array_equal(first.image, again.image)
    assert (first.frames, first.boxes, first.parts) == (again.frames, again.boxes, again.parts)
    assert not np.array_equal(first.image, draw("biking", 6).image)


@pytest.mark.parametrize("verb", VERBS)
def test_scene_is_well_formed(verb: str) -> None:
    entry = VERBS[verb]
    shown = Counter()
    for seed in range(12):
        scene = draw(verb, seed)
        assert scene.image.shape == (192, 192, 3) and scene.image.dtype == np.uint8
        assert scene.image.std() > 12
        assert scene.parts["pose"] in entry.poses
        assert tuple(scene.parts["nouns"]) == entry.order == tuple(scene.boxes)
        assert len(scene.frames) == 3 and all(tuple(frame) == entry.order for frame in scene.frames)
        assert scene.boxes["place"] is None
        for role, box in scene.boxes.items():
            noun = scene.parts["nouns"][role]
            assert noun in allowed_nouns(verb, role)
            assert all(frame[role] in allowed_nouns(verb, role) for frame in scene.frames)
            if not noun:
                assert box is None
            if box is not None:
                x1, y1, x2, y2 = box
                assert all(isinstance(v, int) for v in box)
                assert 0 <= x1 < x2 <= 192 and 0 <= y1 < y2 <= 192
                shown[role] += 1
    filled = {role for role in entry.order if role != "place"}
    assert all(shown[role] >= (4 if verb == "climbing" else 9) for role in filled), shown


def test_things_are_large_enough_to_recognise() -> None:
    sides: dict[str, list[float]] = {"agent": [], "vehicle": [], "tool": [], "item": []}
    for k, verb in enumerate(VERBS):
        for seed in range(8):
            for role, box in draw(verb, seed + 50 * k).boxes.items():
                if box:
                    sides[role].append(max(box[2] - box[0], box[3] - box[1]) / 192)
    assert all(np.quantile(values, 0.1) > 0.15 for values in sides.values())
    assert np.median(sides["vehicle"]) > 0.38


def test_size_is_a_parameter() -> None:
    scene = draw("riding", 3, size=96)
    assert scene.image.shape == (96, 96, 3)
    assert scene.parts == draw("riding", 3).parts
    with pytest.raises(ValueError, match="at least 64"):
        draw("riding", 3, size=8)


def test_unknown_names_are_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'biking'"):
        draw("bikin", 0)
    with pytest.raises(ValueError, match="agent, vehicle, place"):
        allowed_nouns("biking", "tool")


def test_lexicon_is_consistent() -> None:
    assert len(VERBS) >= 48 and len(NOUNS) - 1 >= 90
    for verb in VERBS.values():
        roles = {"agent", "place", *(slot.role for slot in verb.slots)}
        assert set(verb.order) == roles and len(verb.order) == len(roles) and 2 <= len(roles) <= 5
        assert all(verb.abstract.count(role.upper()) == 1 for role in verb.order)
        assert verb.definition and verb.name not in verb.definition.split()
        assert verb.poses and set(verb.poses) <= set(POSES)
        assert verb.places and set(verb.places) <= set(PLACES)
        for slot in verb.slots:
            assert slot.placement in placements.PLACEMENTS
            assert len(slot.nouns) >= 4 and len(set(slot.nouns)) == len(slot.nouns)
            assert all(noun in NOUNS for noun in slot.nouns)
            assert all(NOUNS[noun].name in stage.ART for noun in slot.nouns if noun)
    for synset, noun in NOUNS.items():
        assert noun.synset == synset and all(word in NOUNS for word in broader(synset))
        if synset:
            assert len(synset) == 9 and synset[0] == "n" and synset[1:].isdigit()
            assert noun.name and noun.gloss and noun.definition
    assert len({noun.name for noun in NOUNS.values()}) == len(NOUNS)
    assert {NOUNS[place].name for place in PLACES} == set(PLACE_ART)
    assert all(NOUNS[agent].name in ("man", "woman", "boy", "girl") for agent in AGENTS)


def test_space_has_the_official_schema() -> None:
    table = space()
    assert set(table) == {"nouns", "verbs"} and set(table["verbs"]) == set(VERBS)
    assert all(set(noun) == {"gloss", "def"} for noun in table["nouns"].values()) and "" not in table["nouns"]
    for verb in table["verbs"].values():
        assert set(verb) == {"framenet", "abstract", "def", "order", "roles"}
        assert list(verb["roles"]) == verb["order"]


def test_splits() -> None:
    assert 0.25 <= len(UNSEEN) / len(VERBS) <= 0.35
    assert len(PSEUDO_UNSEEN) == 8 and len(RARE) >= 5
    assert not set(UNSEEN) & set(PSEUDO_UNSEEN) and set(RARE) <= set(SEEN)
    assert sorted((*SEEN, *UNSEEN, *PSEUDO_UNSEEN)) == sorted(VERBS)


def test_every_part_of_a_held_out_verb_is_learnt_elsewhere() -> None:
    def parts(name: str) -> set[tuple[str, str]]:
        verb = VERBS[name]
        return (
            {("pose", pose) for pose in verb.poses}
            | {("place", place) for place in verb.places}
            | {(slot.role, noun) for slot in verb.slots for noun in slot.nouns if noun}
        )

    learnt = set().union(*(parts(name) for name in SEEN if name not in RARE))
    missing = {name: parts(name) - learnt for name in (*UNSEEN, *PSEUDO_UNSEEN) if parts(name) - learnt}
    assert not missing


def test_nouns_of_a_slot_come_evenly() -> None:
    from components.datasets.scenes.world import _choose_parts, _generator

    for verb in VERBS.values():
        drawn = [_choose_parts(verb, _generator(verb.name, seed)) for seed in range(400)]
        for slot in verb.slots:
            counts = Counter(nouns[slot.role] for _, nouns in drawn)
            expected = 400 / len(slot.nouns)
            chi = sum((counts[noun] - expected) ** 2 / expected for noun in slot.nouns)
            free = len(slot.nouns) - 1
            assert chi < free + 5 * (2 * free) ** 0.5 + 4, (verb.name, slot.role, counts)
        assert {pose for pose, _ in drawn} == set(verb.poses)


def test_annotators_mostly_agree() -> None:
    right = wrong = open_ = broad = 0
    for k, verb in enumerate(VERBS):
        for seed in range(6):
            scene = draw(verb, 900 + 10 * k + seed, size=64)
            for role, noun in scene.parts["nouns"].items():
                votes = [frame[role] for frame in scene.frames]
                assert votes.count(noun) >= 2
                odd = [vote for vote in votes if vote != noun]
                right += votes.count(noun)
                wrong += len(odd)
                open_ += bool(odd) and odd == [""]
                broad += bool(odd) and odd[0] in broader(noun)
    assert open_ + broad == wrong
    assert 0.88 < right / (right + wrong) < 0.97
    assert 0 < open_ < broad and BROAD_CHANCE + OPEN_CHANCE < 0.5


def test_train_counts_have_a_long_tail() -> None:
    counts = train_counts(1600)
    assert counts == train_counts(1600) and sum(counts.values()) == 1600 and set(counts) == set(SEEN)
    assert all(3 <= counts[name] <= 5 for name in RARE)
    common = sorted(counts[name] for name in SEEN if name not in RARE)
    assert 3.3 < common[-1] / common[0] < 4.7
    with pytest.raises(ValueError, match="too few"):
        train_counts(100)


def test_outline_groups_do_not_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.datasets.scenes import world

    most = 0

    class Counting(world.Canvas):
        def next_group(self) -> None:
            nonlocal most
            super().next_group()
            most = max(most, self.group)

    monkeypatch.setattr(world, "Canvas", Counting)
    for k, verb in enumerate(VERBS):
        for seed in range(4):
            draw(verb, 300 + 7 * k + seed)
    assert most < 250


def test_contact_sheet() -> None:
    sheet = contact_sheet(["biking", "sweeping", "reading"], seed=1)
    assert sheet.width == 3 * 192 and sheet.height > 192
