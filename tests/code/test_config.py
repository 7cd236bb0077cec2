"""Configuration is a value: overrides fit or are refused with the near key, and a round trip loses nothing."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from components import recipes
from components.base.config import as_dict, flat, from_dict, override
from components.base.errors import UserError


@dataclass(frozen=True, slots=True)
class Distil:
    epochs: int = 3
    rate: float = 1e-3
    teacher: bool = True
    loss: Literal["cosine", "softmax"] = "cosine"
    widths: tuple[int, ...] = (64, 128)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    seed: int = 0
    distil: Distil = field(default_factory=Distil)


@pytest.mark.parametrize(("assignment", "value"), [
    ("distil.epochs=4", 4),
    ("distil.rate=2", 2.0),
    ("distil.rate=8e-4", 8e-4),
    ("distil.rate=-1E-4", -1e-4),
    ("distil.teacher=false", False),
    ("distil.loss=softmax", "softmax"),
    ("distil.widths=[8, 16, 32]", (8, 16, 32)),
    ("distil.widths=8", (8,)),
    ("distil.note=hello", "hello"),
    ("distil.note=null", None),
])
def test_an_override_reaches_its_field_and_no_other(assignment, value):
    config = override(Config(), assignment)
    key = assignment.partition("=")[0].split(".")[1]
    assert getattr(config.distil, key) == value
    assert type(getattr(config.distil, key)) is type(value)
    changed = {k for k, v in flat(as_dict(config)).items() if flat(as_dict(Config()))[k] != v}
    assert changed <= {f"distil.{key}"}
    assert Config().distil == Distil()


@pytest.mark.parametrize(("assignment", "says"), [
    ("distil.epoch=4", "did you mean 'epochs'?"),
    ("distill.epochs=4", "did you mean 'distil'?"),
    ("zzz=4", "known here: distil, seed"),
    ("distil.epochs", "expected KEY=VALUE"),
    ("distil.epochs=many", "expected int"),
    ("distil.epochs=true", "expected int"),
    ("distil.epochs=1.5", "expected int"),
    ("distil.rate=fast", "expected float"),
    ("distil.loss=cosin", "did you mean 'cosine'?"),
    ("distil=4", "is a group of settings"),
    ("seed.value=4", "holds a value, not settings"),
])
def test_a_wrong_override_is_refused_with_a_remedy(assignment, says):
    with pytest.raises(UserError) as caught:
        override(Config(), assignment)
    assert says in str(caught.value)
    assert f"--set {assignment}" in str(caught.value)


def test_round_trip_through_plain_json():
    config = override(override(Config(), "distil.widths=[1]"), "seed=7")
    assert from_dict(Config, as_dict(config)) == config


def test_from_dict_names_an_unknown_key():
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        from_dict(Config, {"distil": {"epoch": 4}})


def test_flat_is_what_mlflow_shows():
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


@pytest.mark.parametrize("recipe", recipes.NAMES)
def test_int8_needs_an_image_to_be_calibrated_on(recipe):
    config = recipes.get(recipe).config()
    assert override(config, "edge.calibration=1").edge.calibration == 1
    with pytest.raises(UserError, match=r"edge\.calibration: must be at least 1, got 0"):
        override(config, "edge.calibration=0")


@pytest.mark.parametrize("recipe", recipes.NAMES)
def test_every_baseline_has_whole_settings_and_the_budget_of_the_student(recipe):
    """Baselines change settings by name, which a recipe that is built on another may not have."""
    method = recipes.get(recipe)
    config = method.config()
    for baseline in method.baselines(config).values():
        assert type(baseline.config) is type(config)
        assert from_dict(type(config), as_dict(baseline.config)) == baseline.config
        assert baseline.config.distil.epochs == config.distil.epochs
        assert not getattr(baseline.config.distil, "start", "")
    assert method.baselines(config) or recipe == "near"
