"""TRIDENT's losses: each does what its formula says, moves what it should, stays finite, and costs nothing when off."""

import math

import pytest
import torch
from torch.nn import functional as F

from components.recipes.trident import losses
from components.recipes.trident.config import Distil, Terms

ALL = torch.ones(4, dtype=torch.bool)


def test_no_smoothing_is_plain_cross_entropy():
    logits, target = torch.randn(4, 9), torch.tensor([0, 3, 8, 2])
    also = F.softmax(torch.randn(4, 9), -1)
    none = losses.smoothed(logits, target, also, 0.0, ALL)
    assert torch.equal(none, losses.plain(logits, target, ALL))
    torch.testing.assert_close(none, F.cross_entropy(logits, target))  # their sums run in another order


def test_smoothing_follows_its_formula():
    """-(1 - a) log p(attribute) - sum (a / t) log p(auxiliary), section 1 point 8."""
    logits, target = torch.randn(4, 9), torch.tensor([0, 3, 8, 2])
    also = torch.zeros(4, 9)
    also[:, [1, 4, 5]] = 1 / 3
    logp = logits.log_softmax(-1)
    expected = [-.91 * logp[i, t] - sum(.03 * logp[i, j] for j in (1, 4, 5)) for i, t in enumerate(target)]
    assert torch.allclose(losses.smoothed(logits, target, also, .09, ALL), torch.stack(expected).mean())


def test_an_image_without_auxiliary_words_keeps_its_whole_target():
    logits, target = torch.randn(4, 9), torch.tensor([0, 3, 8, 2])
    assert torch.allclose(losses.smoothed(logits, target, torch.zeros(4, 9), .3, ALL), F.cross_entropy(logits, target))


def test_smoothing_pulls_towards_auxiliary_words_and_less_towards_the_attribute():
    logits, also = torch.zeros(1, 5, requires_grad=True), torch.tensor([[0, 0, .5, .5, 0]])
    losses.smoothed(logits, torch.tensor([0]), also, .2, torch.ones(1, dtype=torch.bool)).backward()
    pull = -logits.grad[0]
    assert pull[0] == pytest.approx(.8 - .2) and pull[2] == pytest.approx(.1 - .2) and pull[1] == pytest.approx(-.2)


def test_orthogonal_rows_cost_nothing_and_equal_rows_most():
    eye = torch.eye(6)[:4][None].repeat(4, 1, 1) * 3
    assert losses.orthogonality(eye, ALL) == pytest.approx(0, abs=1e-12)
    same = torch.ones(4, 4, 6, requires_grad=True)
    assert losses.orthogonality(same, ALL).item() == pytest.approx(12 / 16)
    near = (torch.ones(4, 4, 6) + .1 * torch.randn(4, 4, 6)).requires_grad_()
    before = losses.orthogonality(near, ALL)
    before.backward()
    assert losses.orthogonality(near - 5 * near.grad, ALL) < before


def _batch(size: int = 4, width: int = 8, words: int = 11, pairs: int = 5, scale: float = 1.0):
    torch.manual_seed(1)
    def rows() -> torch.Tensor:
        return (scale * torch.randn(size, width)).requires_grad_()
    names = ("joint", "shared_main", "shared_other", "exclusive_main", "exclusive_other")
    views = {k: (scale * torch.randn(3 * size, width)).requires_grad_() for k in ("vector", "attribute", "object")}
    out = views | {"local": torch.randn(3 * size, 3, width, requires_grad=True),
                   "global": torch.randn(3 * size, 2, width, requires_grad=True),
                   "with_attribute": {k: rows() for k in names}, "with_object": {k: rows() for k in names},
                   "pairs": torch.randn(pairs, width, requires_grad=True),
                   "words": torch.randn(words, width, requires_grad=True)}
    has = torch.ones(3 * size, dtype=torch.bool)
    batch = {"pair": torch.randint(pairs, (3 * size,)), "attribute": torch.randint(4, (3 * size,)),
             "object": 4 + torch.randint(4, (3 * size,)), "also": F.softmax(torch.randn(3 * size, words), -1),
             "has": has, "counts": has}
    return out, batch


def _leaves(out):
    for name, value in out.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{k}", v) for k, v in value.items())
        else:
            yield name, value


def test_every_part_of_the_student_is_reached_by_the_loss():
    out, batch = _batch()
    terms = losses.total(out, batch, torch.zeros(5), Distil())
    assert set(terms) == {"composition", "orthogonality", "disentangling", "primitives"}
    sum(terms.values()).backward()
    for name, leaf in _leaves(out):
        assert leaf.grad is not None and leaf.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["orthogonality", "disentangling", "primitives"])
def test_a_term_of_weight_zero_is_not_even_computed(name):
    out, batch = _batch()
    assert name not in losses.total(out, batch, torch.zeros(5), Distil(terms=Terms(**{name: 0.0})))


def test_disentangling_is_the_mean_of_ten_terms():
    out, batch = _batch()
    a, o = out["with_attribute"], out["with_object"]
    attribute, thing = batch["attribute"].chunk(3), batch["object"].chunk(3)

    def ce(feature, target):
        return F.cross_entropy(20 * F.normalize(feature, dim=-1) @ F.normalize(out["words"], dim=-1).T, target)

    expected = (ce(a["joint"], attribute[0]) + ce(a["shared_main"], attribute[0]) + ce(a["shared_other"], attribute[1])
                + ce(a["exclusive_main"], thing[0]) + ce(a["exclusive_other"], thing[1]) + ce(o["joint"], thing[0])
                + ce(o["shared_main"], thing[0]) + ce(o["shared_other"], thing[2])
                + ce(o["exclusive_main"], attribute[0]) + ce(o["exclusive_other"], attribute[2])) / 10
    assert torch.allclose(losses.disentangled(a, o, out["words"], batch, 20, 0.0), expected)


def test_a_batch_without_any_partner_gives_a_finite_loss_and_no_gradient_to_what_partners_teach():
    out, batch = _batch()
    batch["has"] = torch.arange(12) < 4
    batch["counts"] = batch["has"]
    terms = losses.total(out, batch, torch.zeros(5), Distil())
    assert terms["disentangling"].item() == 0
    sum(terms.values()).backward()
    for name, leaf in _leaves(out):
        assert leaf.grad is None or leaf.grad.isfinite().all(), name
    assert out["with_attribute"]["joint"].grad.abs().sum() == 0
    assert out["vector"].grad[4:].abs().sum() == 0 and out["vector"].grad[:4].abs().sum() > 0


def test_logits_of_ten_thousand_are_finite():
    """Cosines times a temperature cannot get there; cross-entropy of any logits must."""
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    also, counts = torch.tensor([[0, .5, .5], [0, 0, 1.0]]), torch.ones(2, dtype=torch.bool)
    value = losses.smoothed(logits, torch.tensor([1, 0]), also, .1, counts)
    value.backward()
    assert math.isfinite(value.item()) and value.item() > 1e3 and logits.grad.isfinite().all()
    out, batch = _batch(scale=1e4)
    assert all(t.isfinite() for t in losses.total(out, batch, torch.zeros(5), Distil(temperature=1e-4)).values())


def test_the_prior_favours_rare_pairs_after_training():
    """With a log-prior added in training, an equal logit means less for a frequent pair: its gradient is smaller."""
    out, batch = _batch(pairs=2)
    batch["pair"] = torch.zeros(12, dtype=torch.long)
    grads = []
    for prior in (torch.log(torch.tensor([.9, .1])), torch.log(torch.tensor([.1, .9]))):
        out["pairs"].grad = None
        losses.total(out, batch, prior, Distil(prior=1.0))["composition"].backward(retain_graph=True)
        grads.append(out["pairs"].grad[0].norm())
    assert grads[0] < grads[1]
