"""The student does what its design promises: nouns come from pixels, text opens every vocabulary, geometry is exact."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from components.base.config import as_dict
from components.base.errors import UserError
from components.encoders import geometry, image
from components.encoders.text import WIDTH
from components.recipes.mipd import losses
from components.recipes.mipd.config import Architecture, Config, Distil, Terms
from components.recipes.mipd.model import Attention, Student, only_present
from components.recipes.mipd.task import begin

IMAGES, ROLES = 3, 4
SIZES = image.CHANNELS, WIDTH  # of what the encoders give


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    return Student(Architecture(width=48, heads=4, box_width=16, dropout=0.0), *SIZES)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    present = torch.ones(IMAGES, ROLES, dtype=torch.bool)
    present[0, 3] = False
    grounded = present.clone()
    grounded[:, 2] = False
    return {"features": torch.randn(IMAGES, image.TOKENS, image.CHANNELS), "verb": unit(IMAGES, WIDTH),
            "roles": unit(IMAGES, ROLES, WIDTH), "present": present, "box": torch.rand(IMAGES, ROLES, 4) * 0.3 + 0.3,
            "composites": torch.randn(IMAGES, image.TOKENS, image.CHANNELS), "verb_seen": torch.tensor([0, 1, 2]),
            "noun": torch.randint(1, 9, (IMAGES, ROLES)), "grounded": grounded, "scene": unit(IMAGES, WIDTH),
            "composite_scene": unit(IMAGES, WIDTH), "instance": unit(IMAGES, ROLES, WIDTH),
            "dense": unit(IMAGES, image.TOKENS, WIDTH), "taught": torch.ones(IMAGES, dtype=torch.bool)}


@pytest.fixture
def tables() -> losses.Tables:
    torch.manual_seed(2)
    return losses.Tables(unit(6, WIDTH), unit(9, WIDTH), torch.arange(4), torch.zeros(4), 20.0)


def test_a_frequent_verb_is_discounted_by_its_prior(student, batch, tables):
    """Logit adjustment: with the prior the same outputs lose more on a rare verb, so training lifts rare ones."""
    out = run(student, batch)
    skewed = dataclasses.replace(tables, log_prior=torch.log(torch.tensor([0.01, 0.9, 0.08, 0.01])))
    batch["verb_seen"] = torch.tensor([0, 0, 0])
    plain, adjusted = (losses.supervised(out, batch, skewed, 0.0, prior)["verb"] for prior in (0.0, 1.0))
    assert adjusted > plain


def run(student: Student, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return student(*(batch[k] for k in ("features", "verb", "roles", "present", "box", "composites")), dense=True)


def test_shapes_and_ranges(student, batch):
    out = run(student, batch)
    assert out["scene"].shape == (IMAGES, WIDTH) and out["noun"].shape == (IMAGES, ROLES, WIDTH)
    assert torch.allclose(out["scene"].norm(dim=-1), torch.ones(IMAGES), atol=1e-5)
    assert out["box"].shape == (IMAGES, ROLES, 4) and (out["box"][..., 2:] > 0).all()
    assert out["dense"].shape == (IMAGES, image.TOKENS, WIDTH) and out["exists"].shape == (IMAGES, ROLES)


def test_plain_attention_is_torchs_own():
    """Value and gradient, with roles hidden from each other and without; an additive mask of torch's hides the same."""
    torch.manual_seed(3)
    ours = Attention(48, 4)
    theirs = torch.nn.MultiheadAttention(48, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x, hidden = torch.randn(2, 5, 48), only_present(torch.tensor([[True, True, True, False, True]] * 2))
    for mask in (None, hidden):
        flat = None if mask is None else mask.expand(2, 4, 5, 5).flatten(0, 1)
        results = ours(x, x, x, attn_mask=mask)[0], theirs(x, x, x, attn_mask=flat, need_weights=False)[0]
        assert torch.allclose(*results, atol=1e-6)
        slopes = [torch.autograd.grad(value.square().sum(), part.in_proj_weight)[0]
                  for value, part in zip(results, (ours, theirs), strict=True)]
        assert torch.allclose(*slopes, atol=1e-4)


def test_absent_roles_do_not_influence_present_ones(student, batch):
    before = run(student, batch)
    batch["roles"][0, 3] = 1e3
    after = run(student, batch)
    assert torch.allclose(before["noun"][0, :3], after["noun"][0, :3], atol=1e-5)
    assert torch.isfinite(after["noun"]).all()


def test_every_term_is_finite_and_every_weight_learns(student, batch, tables):
    out = run(student, batch)
    terms = losses.supervised(out, batch, tables, 0.1) | losses.distilled(*losses.taught(out, batch), tables)
    terms |= losses.label_text(out, batch, tables)
    assert set(terms) == {f.name for f in dataclasses.fields(Terms)}
    assert all(torch.isfinite(v) for v in terms.values())
    sum(losses.weighted(terms, Terms()).values()).backward()
    assert [n for n, p in student.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []


def test_no_gradient_reaches_the_teachers_side(student, batch, tables):
    for name in ("scene", "composite_scene", "instance", "dense"):
        batch[name].requires_grad_(True)
    sum(losses.distilled(run(student, batch), batch, tables).values()).backward()
    assert all(batch[name].grad is None for name in ("scene", "composite_scene", "instance", "dense"))


def test_gaze_targets_change_the_students_gradient(student, batch, tables):
    def gradient() -> torch.Tensor:
        student.zero_grad()
        sum(losses.distilled(run(student, batch), batch, tables).values()).backward()
        return student.decoder.value.weight.grad.clone()

    before = gradient()
    batch["instance"] = unit(IMAGES, ROLES, WIDTH)
    assert not torch.allclose(before, gradient())


def test_a_sample_without_rationale_teaches_nothing(student, batch, tables):
    batch["taught"][1] = False
    first = losses.distilled(*losses.taught(run(student, batch), batch), tables)
    batch["scene"] = batch["scene"].clone()
    batch["scene"][1] = -batch["scene"][1]
    second = losses.distilled(*losses.taught(run(student, batch), batch), tables)
    assert torch.equal(first["scene"], second["scene"])


def test_verbs_without_images_have_no_rows_of_their_own(student):
    """Nothing in the student is indexed by verb or role: all of it is text, so no untrained row can be read."""
    assert not [m for m in student.modules() if isinstance(m, torch.nn.Embedding)]


def test_mirroring_twice_is_the_identity_for_features_and_boxes():
    features = torch.randn(2, image.TOKENS, image.CHANNELS)
    assert torch.equal(image.mirror(image.mirror(features)), features)
    box = torch.rand(5, 4)
    assert torch.allclose(geometry.mirror(geometry.mirror(box)), box)


def test_mirrored_features_are_those_of_the_mirrored_image():
    """The frozen network is nearly mirror-symmetric: mirrored features must lie far nearer than unmirrored ones."""
    import numpy as np

    rng = np.random.default_rng(0)
    picture = np.zeros((image.SIZE, image.SIZE, 3), np.uint8)
    picture[40:120, 20:70] = rng.integers(0, 255, 3)
    picture[100:150, 90:120] = rng.integers(0, 255, 3)
    plain, turned = (torch.from_numpy(image.features(p[None])).float() for p in (picture, picture[:, ::-1]))
    assert (image.mirror(plain) - turned).norm() < 0.7 * (plain - turned).norm()


def test_coverage_and_iou():
    whole = torch.tensor([0.5, 0.5, 1.0, 1.0])
    assert torch.allclose(geometry.coverage(whole), torch.ones(image.TOKENS), atol=1e-5)
    cell = torch.tensor([0.5 / 12, 0.5 / 12, 1 / 12, 1 / 12])
    assert geometry.coverage(cell)[0] == pytest.approx(1, abs=1e-5) and geometry.coverage(cell)[1:].sum() < 1e-4
    a, b = torch.tensor([0.25, 0.5, 0.5, 1.0]), torch.tensor([0.5, 0.5, 1.0, 1.0])
    plain, general = geometry.iou(a, b)
    assert plain == pytest.approx(0.5) and general == pytest.approx(0.5)


def test_training_may_begin_with_the_weights_of_a_student_of_the_same_sizes(own_home):
    small = Config(student=Architecture(width=48, heads=4, box_width=16))
    folder = own_home / "store" / "student-distilled" / "abc"
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    trained = Student(small.student, *SIZES)
    save_file(trained.state_dict(), folder / "student.safetensors")
    (folder / "config.json").write_text(json.dumps({"config": as_dict(small)}))
    begun = begin(dataclasses.replace(small, distil=Distil(start="abc")), *SIZES)
    assert all(torch.equal(a, b) for a, b in zip(begun.parameters(), trained.parameters(), strict=True))
    assert begun.training and all(p.requires_grad for p in begun.parameters())
    anew = begin(small, *SIZES)
    assert not all(torch.equal(a, b) for a, b in zip(anew.parameters(), trained.parameters(), strict=True))
    with pytest.raises(UserError, match="distil.start=abc: has other sizes or other encoders"):
        begin(Config(distil=Distil(start="abc")), *SIZES)
    with pytest.raises(UserError, match="not a trained student"):
        begin(dataclasses.replace(small, distil=Distil(start="xyz")), *SIZES)
