"""NeaR outside training: what is asked and read, the recorded teacher, names at the edge, who is asked by default."""

import dataclasses
import json

import numpy as np
import pytest

from components import recipes, teachers
from components.base.errors import UserError
from components.datasets.schema import Sample
from components.datasets.species.catalogue import RARE, SPECIES
from components.datasets.species.world import SpeciesSpec, draw_dataset
from components.pipeline.plan import make
from components.pipeline.recording import settle
from components.recipes.near import naming
from components.recipes.near.config import Config
from components.recipes.near.decode import decode
from components.recipes.near.recording import record
from components.recipes.protocol import Record
from components.teachers.protocol import Answer, View

RECIPE = recipes.get("near")
NOBODY = Sample("0" * 64, "a.jpg", b"", 1, 1, "", "", None)


def reading(**reply) -> dict | str:
    return naming.read(Answer(json.dumps(reply)))


def test_names_are_read_best_first_with_the_response():
    assert reading(names=[" Grey  Plover", "!", "Wren"], response="A wader.") == {
        "labels": ["Grey Plover", "Wren"], "response": "A wader."}
    assert reading(names=["Wren"])["response"] == ""


@pytest.mark.parametrize(("reply", "why"), [
    ({"names": []}, "no name"), ({"names": ["?!"]}, "no name"), ({"names": "Wren"}, "no 'names'"), ({}, "no 'names'"),
    ({"names": [3]}, "no 'names'"), ({"names": ["w" * 81]}, "longer than 80"),
])
def test_what_is_no_name_is_rejected_with_the_reason(reply, why):
    assert why in naming.read(Answer(json.dumps(reply)))
    rejected = RECIPE.accept(NOBODY, [Answer(json.dumps(reply))], Config())
    assert not isinstance(rejected, Record) and why in rejected.reason


@pytest.mark.parametrize("text", ["", "Wren", "[1]", "[" * 5000])
def test_what_is_no_json_is_rejected(text):
    assert isinstance(naming.read(Answer(text)), str)


def test_the_class_is_nowhere_in_question_or_record():
    told = dataclasses.replace(NOBODY, label="Masked Jay", name="Masked Jay/1.jpg")
    (question,), (blind,) = RECIPE.questions(told, Config()), RECIPE.questions(NOBODY, Config())
    assert question == blind and RECIPE.blind
    record = RECIPE.accept(told, [Answer('{"names": ["Wren"]}')], Config())
    assert "Jay" not in json.dumps([record.content, RECIPE.quality_rows(record, "Masked Jay")])


def test_a_share_of_the_images_is_asked_about_and_always_the_same():
    some = [dataclasses.replace(NOBODY, id=f"{i:064x}") for i in range(400)]
    half = [bool(naming.questions(s, "1", 0.5)) for s in some]
    assert 140 < sum(half) < 260 and half == [bool(naming.questions(s, "1", 0.5)) for s in some]
    assert all(naming.questions(s, "1", 1.0) for s in some)
    fewer = [bool(naming.questions(s, "1", 0.2)) for s in some]
    assert all(b for a, b in zip(fewer, half, strict=True) if a), "asking more keeps what was asked"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_dataset(tmp_path_factory.mktemp("birds") / "set", SpeciesSpec(each=2, few=1, side=32), workers=1)


def test_rare_species_are_drawn_less_often(drawn):
    counts = drawn.manifest["labels"]
    assert len(RARE) == 8 and len({s.kind for s in SPECIES if s.name in RARE}) == 8
    assert all(counts[s.name] == (1 if s.name in RARE else 2) for s in SPECIES)


def test_the_recording_replays_as_any_teacher(drawn, tmp_path):
    record(drawn, Config(), tmp_path / "answers.jsonl")
    teacher = teachers.get(f"recorded:{tmp_path / 'answers.jsonl'}")
    samples = list(drawn.samples(images=False))[:20]
    asked = [RECIPE.questions(s, Config())[0] for s in samples]
    said = teacher.answer([View(s.id, lambda: None) for s in samples], asked)
    assert all(isinstance(RECIPE.accept(s, [a], Config()), Record) for s, a in zip(samples, said, strict=True))
    assert all(a.seconds > 0 and a.tokens_in > 0 and a.tokens_out > 0 for a in said)
    assert teacher.identity.name == "recorded-birds-wrong" and asked[0].version == "name/1"


def test_the_recipe_says_who_is_asked(drawn, tmp_path):
    plan = make(recipe="near", seed=3)
    assert plan.teacher == "drawn" and plan.settings["draw"]["seed"] == 3
    settled = settle(plan, {"dataset": str(drawn.path)})
    assert settled.teacher.startswith("recorded:") and settle(settled, {}) == settled
    assert make(recipe="near", data=str(tmp_path)).teacher == "embedded" and make().teacher == "embedded"
    for wrong in ({"recipe": "mipd"}, {"recipe": "near", "data": str(tmp_path)}):
        with pytest.raises(UserError, match="no teacher 'drawn'"):
            make(teacher="drawn", **wrong)


VOCABULARY = {"names": {"Wren": {}, "Grey Plover": {}, "Jay": {}}}
TABLES = {"names": np.eye(3, dtype=np.float32)}
DECODING = {"scale": 4.0, "abstain_below": 0.5}


def named(vector, **options):
    return decode(lambda v: {"vector": v}, None, TABLES, VOCABULARY, DECODING, np.array([vector], np.float32), [],
                  **options)[0]


def test_the_nearest_names_are_ranked_with_probabilities():
    found = named([0.1, 0.9, 0.2])
    assert found["names"] == ["Grey Plover", "Jay", "Wren"] and found["confident"]
    assert sum(found["scores"]) == pytest.approx(1, abs=1e-3) and found["scores"] == sorted(found["scores"])[::-1]
    assert not named([0.5, 0.5, 0.5])["confident"] and len(named([0, 1, 0], top=1)["names"]) == 1


def test_only_learnt_names_can_be_asked_for():
    assert named([0.1, 0.9, 0.2], among=["wren", "Jay"])["names"] == ["Jay", "Wren"]
    with pytest.raises(UserError, match="'Plover' is not among the 3 names"):
        named([0, 1, 0], among=["Plover"])
