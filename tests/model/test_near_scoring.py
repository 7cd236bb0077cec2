"""Scores of names against classes, and the gate that they decide: rare species are protected."""

import dataclasses

import pytest

from components import recipes
from components.datasets.species.catalogue import RARE, SPECIES
from components.datasets.species.world import SpeciesSpec, draw_dataset
from components.datasets.splits import Splits, split_dataset
from components.datasets.store import Dataset, DatasetWriter
from components.recipes.near.config import Config, Evaluate
from components.recipes.protocol import Stage
from components.registry.decision import Evaluation, decide

RECIPE = recipes.get("near")
CONFIG = dataclasses.replace(Config(), evaluate=Evaluate(test=2, bootstrap=50))
EDGE = {"parity": 1e-6, "int8_loss": 0.0, "latency_ms": 9.0, "size_mb": 9.0}
QUALITY = {"dataset": True, "predictions": True}


def staged(data: Dataset, folder) -> Stage:
    split_dataset(data.path, folder, RECIPE.split(data, CONFIG, 0, True) if any(data.labels.values()) else
                  RECIPE.split(data, CONFIG, 0, False))
    return Stage(data.path, folder / "splits.json", CONFIG, 0)


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Stage:
    folder = tmp_path_factory.mktemp("birds")
    return staged(draw_dataset(folder / "set", SpeciesSpec(each=3, few=3, side=32), workers=1), folder)


def said(stage: Stage, name_of) -> list[dict]:
    data, test = Dataset(stage.dataset), Splits.load(stage.splits).test
    return [{"image": data.names[i], "id": i, "names": [name_of(data.labels[i]), "Wren"], "scores": [0.9, 0.1],
             "confident": True} for i in test]


@pytest.fixture(scope="module")
def right(stage):
    latin = {s.name: s.latin for s in SPECIES}
    return RECIPE.score(said(stage, latin.get), stage, "test")


def test_other_words_for_the_right_species_are_right_but_mean_less(right):
    assert [right.metrics[m] for m in ("cluster_accuracy", "nmi", "ari")] == pytest.approx([1, 1, 1])
    assert right.metrics["semantic_accuracy"] < 0.9 and right.metrics["names"] == len(SPECIES)
    assert right.tables["confusion"]["truth"] == right.tables["confusion"]["predicted"]


def test_the_gate_finds_all_that_it_asks_for(right):
    gates = RECIPE.gates(CONFIG)
    assert {gates.headline, *gates.minimum, *gates.protected} <= right.metrics.keys()
    assert gates.headline in right.per_sample and set(RECIPE.headline.values()) <= right.metrics.keys()
    assert decide(Evaluation(right.metrics, right.per_sample, EDGE, QUALITY), None, gates).promote


def test_a_student_that_loses_rare_species_is_rejected_though_it_is_better(stage):
    """The champion misses common species, the candidate fewer, but all rare ones."""
    common = [s.name for s in SPECIES if s.name not in RARE]
    old = RECIPE.score(said(stage, lambda c: "Bird" if c in common[:20] else c), stage, "test")
    new = RECIPE.score(said(stage, lambda c: "Bird" if c in RARE else c), stage, "test")
    assert new.metrics["cluster_accuracy"] > old.metrics["cluster_accuracy"]
    decision = decide(*(Evaluation(r.metrics, r.per_sample, EDGE, QUALITY) for r in (new, old)), RECIPE.gates(CONFIG))
    assert not decision.promote and [r.check for r in decision.failed] == ["protected.rare.cluster_accuracy"]


def test_unlabelled_images_have_no_score(tmp_path, stage):
    with DatasetWriter(tmp_path / "set", "photos") as writer:
        for sample in Dataset(stage.dataset).samples():
            writer.add(dataclasses.replace(sample, label=None))
    unlabelled = staged(Dataset(tmp_path / "set"), tmp_path)
    report = RECIPE.score(said(unlabelled, lambda _: "Bird"), unlabelled, "test")
    assert report.metrics == {} and report.tables == {}
    assert RECIPE.right(["Bird"], [None]) == 0.0


def test_what_int8_is_judged_by_does_not_care_for_words():
    assert RECIPE.right(["a", "a", "b"], ["Wren", "Wren", "Jay"]) == 1.0
    assert RECIPE.right(["a", "c", "b"], ["Wren", "Wren", "Jay"]) == pytest.approx(2 / 3)
