"""What TRIDENT asks and accepts: the attribute is never told to the teacher, nor learnt from its words."""

import json

import pytest

from components.datasets.schema import Sample
from components.recipes import trident, trident_released
from components.recipes.protocol import Record, Rejection
from components.recipes.trident import looks
from components.recipes.trident.config import Config
from components.teachers.protocol import Answer

SAMPLE = Sample("0" * 64, "x.jpg", b"", 8, 8, "0" * 16, "test", "rusty Boots.Mid-Calf")


def said(*words: object) -> Answer:
    return Answer(json.dumps({"look": list(words)}))


def test_the_question_names_the_object_and_not_the_attribute():
    question, = looks.questions(SAMPLE, "1")
    assert "boots mid-calf" in question.prompt and "rust" not in json.dumps([question.prompt, question.context]).lower()
    assert looks.questions(Sample(*["x"] * 2, b"", 8, 8, "", ""), "1") == []


def test_the_attribute_is_left_out_in_any_form():
    record = looks.accept(SAMPLE, [said("Rusted", "orange", "stained.")])
    assert record == Record(SAMPLE.id, {"look": ["orange", "stained"], "told": ["rusted"]})
    assert isinstance(looks.accept(SAMPLE, [said("rusty", "Rust")]), Rejection)


@pytest.mark.parametrize(("word", "attribute"), [("Frost", "frosty"), ("cracks", "cracked"), ("Faux fur", "Faux.Fur"),
                                                 ("shininess", "shiny"), ("STRIPED", "striped")])
def test_forms_of_a_word_are_the_same(word, attribute):
    assert looks.same(word, attribute)


@pytest.mark.parametrize(("word", "attribute"), [("dry", "dr"), ("wet", "weathered"), ("gold", "gilded")])
def test_other_words_are_others(word, attribute):
    assert not looks.same(word, attribute)


@pytest.mark.parametrize("text", ["", "no", "[]", '{"look": "red"}', '{"look": [1, 2]}', '{"look": []}', "[" * 9000,
                                  '{"look": ["<script>alert(1)</script>"]}', json.dumps({"look": ["x" * 400]})])
def test_what_cannot_be_read_is_a_rejection_in_words(text):
    outcome = looks.accept(SAMPLE, [Answer(text)])
    assert isinstance(outcome, Rejection) and outcome.reason.startswith("look: ")


def test_a_failure_keeps_its_reason():
    assert looks.accept(SAMPLE, [Answer("", failure="refused")]).reason == "look: refused"


def test_a_repeated_word_counts_once_and_a_fourth_not_at_all():
    assert looks.accept(SAMPLE, [said("old", "Old", "red", "blue")]).content["look"] == ["old", "red"]


def test_both_recipes_are_one_with_other_switches():
    ours, released = trident.RECIPE.config(), trident_released.RECIPE.config()
    assert (ours.recipe, released.recipe) == (trident.RECIPE.name, trident_released.RECIPE.name)
    assert ours.student.masks == "learnt" and released.student.masks == "lost"
    assert released.distil.missing == "last" and released.distil.rows == "object" and not released.align.weighted
    assert ours.distil.epochs == released.distil.epochs and ours.draw == released.draw == Config().draw
    fast = trident_released.RECIPE.config(fast=True)
    assert fast.student.masks == "lost" and fast.draw == trident.RECIPE.config(fast=True).draw
