"""The embedded teacher sees pixels: it names drawn scenes far above chance, and doubts what it does not know."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.base.errors import UserError
from components.datasets.images import load_image
from components.datasets.scenes.lexicon import VERBS
from components.datasets.scenes.world import draw
from components.recipes.mipd.rationales import GAZE, GLIMPSE
from components.recipes.mipd.targets import composite
from components.teachers.embedded import WEIGHTS, EmbeddedTeacher
from components.teachers.protocol import Question, View

PHOTOS = Path("../shared/data/photos")


@pytest.fixture(scope="module")
def teacher() -> EmbeddedTeacher:
    return EmbeddedTeacher()


@pytest.fixture(scope="module")
def views() -> list[View]:
    pictures = {verb: draw(verb, 77).image for verb in VERBS}
    return [View(f"{verb}-77", lambda p=picture: p) for verb, picture in pictures.items()]


def test_it_names_the_activity_of_most_drawn_scenes_but_not_of_all(teacher, views):
    """Minimum behaviour: one unseen drawing per verb. A teacher that is never wrong would be an oracle."""
    chosen = teacher.score(views, list(VERBS)).argmax(1)
    right = np.mean([list(VERBS)[c] == verb for c, verb in zip(chosen, VERBS, strict=True)])
    assert right > 0.75
    assert 0 < 1 - teacher.card["verb"] < 0.25


def test_answers_fill_the_schema_and_are_the_same_every_time(teacher, views):
    questions = [
        Question("glimpse", "?", "1", GLIMPSE),
        Question("gaze", "?", "1", GAZE, {"box": [0.3, 0.2, 0.7, 0.9]}),
    ]
    answers = teacher.answer([views[0]] * 2, questions)
    glimpse, gaze = (json.loads(a.text) for a in answers)
    assert set(glimpse) == set(GLIMPSE["properties"]) and set(gaze) == set(GAZE["properties"])
    for ranked in (glimpse["posture"], glimpse["things"], glimpse["place"], gaze["nouns"]):
        probabilities = [p["probability"] for p in ranked]
        assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1.001
    assert [a.text for a in EmbeddedTeacher().answer([views[0]] * 2, questions)] == [a.text for a in answers]


def test_grid_rows_are_unit_vectors_of_the_text_space(teacher, views):
    grid = teacher.grid(views[:3])
    assert grid.shape == (3, 1 + 144, 384) and grid.dtype == np.float32
    assert np.allclose(np.linalg.norm(grid, axis=-1), 1, atol=1e-2)


def test_a_composite_is_looked_at_as_a_picture(teacher, views):
    """The pixels of both halves matter: it is neither the first nor the second picture."""
    mixed = composite(views[0], views[9], (0, 0, 6, 12))
    alone = teacher.grid([views[0], views[9]])[:, 0]
    between = teacher.grid([mixed])[0, 0]
    assert all(float(v @ between) < 0.999 for v in alone)
    assert (mixed.load()[:, :90] == views[9].load()[:, :90]).mean() > 0.9


def test_doubt_on_what_it_was_not_trained_on(teacher):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    assert teacher.score([View("noise", lambda: noise)], list(VERBS)).max() < 0.3


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs for tests are not beside the project")
@pytest.mark.parametrize(
    "photo, thing",
    [
        ("fishing_rod.jpg", "reel"),
        ("boat.jpg", "gondola"),
        ("carting_214.jpg", "sheepdog"),
        ("aircraft_rgba.png", "aircraft"),
    ],
)
def test_photographs_are_not_nonsense(teacher, photo, thing):
    view = View(photo, lambda: load_image(PHOTOS / photo))
    assert thing in teacher.answer([view], [Question("free", "What is it?", "1")])[0].text.lower()
    assert teacher.score([view], list(VERBS)).max() < 0.3  # what it cannot know, it says with low confidence


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs for tests are not beside the project")
def test_things_are_evidence_for_activities(teacher):
    view = View("rod", lambda: load_image(PHOTOS / "fishing_rod.jpg"))
    ranked = teacher.score([view], list(VERBS))[0].argsort()[::-1][:3]
    assert "fishing" in [list(VERBS)[i] for i in ranked]


def test_altered_weights_are_refused_by_name(tmp_path, monkeypatch):
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    path = tmp_path / "embedded.safetensors"
    path.write_bytes(content)
    monkeypatch.setattr("components.teachers.embedded.WEIGHTS", path)
    with pytest.raises(UserError, match="embedded.safetensors.*sha256"):
        EmbeddedTeacher(weights=path)
    with pytest.raises(UserError, match="teacher train"):
        EmbeddedTeacher(weights=tmp_path / "nowhere.safetensors")
