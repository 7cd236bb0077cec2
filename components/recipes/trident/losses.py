"""What TRIDENT's student learns from, as pure functions of tensors (arXiv 2411.12584; `docs/recipes/trident.md`).

Shapes: B images, P training pairs, W words, R feature rows of an image, D width. Every mean is over the rows that
`counts` [B] marks; where none counts the loss is 0 and its gradient too. Every softmax is a log-sum-exp, so
that logits of any size give a finite loss.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from components.recipes.trident.config import Distil


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """The mean of values [B] over the rows that count [B] bool; 0 where none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


def cosines(vectors: Tensor, table: Tensor, scale: float) -> Tensor:
    """[B, D], [K, D] -> scaled cosines [B, K]"""
    return scale * F.normalize(vectors, dim=-1) @ F.normalize(table, dim=-1).T


def plain(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy.  # [B, K], [B] int, [B] bool"""
    return mean_of(F.cross_entropy(logits, target, reduction="none"), counts)


def smoothed(logits: Tensor, target: Tensor, also: Tensor, share: float, counts: Tensor) -> Tensor:
    """Attribute smoothing (section 1, point 8): `share` of the target's mass goes to auxiliary words.

    `also` [B, W] holds weights of auxiliary words that sum to 1, or to 0 for an image that has none: it keeps its whole
    target. A share of 0 is plain cross-entropy.
    """
    if share == 0:
        return plain(logits, target, counts)
    logp = F.log_softmax(logits, -1)  # [B, W]
    given = share * also.sum(-1)  # what is left of the share for this row
    own = logp.gather(1, target[:, None])[:, 0]
    return mean_of(-(1 - given) * own - share * (also * logp).sum(-1), counts)


def orthogonality(rows: Tensor, counts: Tensor) -> Tensor:
    """Mean squared difference between the rows' cosines and the identity (point 4).  # [B, R, D], [B]"""
    unit = F.normalize(rows, dim=-1)
    eye = torch.eye(rows.shape[1], device=rows.device)
    return mean_of(((unit @ unit.transpose(1, 2) - eye) ** 2).mean((1, 2)), counts)


def disentangled(with_attribute: dict[str, Tensor], with_object: dict[str, Tensor], words: Tensor,
                 batch: dict[str, Tensor], scale: float, share: float) -> Tensor:
    """The mean of the ten terms of L_dis (point 9).

    `with_attribute`: joint, shared, exclusive features [B, D] of main images with their partners of the same attribute,
    `with_object` of the same object (names as `model.Disentangler` gives them). `batch` has `attribute` and `object`
    rows of `words` [3B] for main image, same-attribute and same-object partner, `also` [3B, W], `has` [3B] bool.
    """
    attribute, thing = (batch[k].chunk(3) for k in ("attribute", "object"))
    also, has = batch["also"].chunk(3), batch["has"].chunk(3)

    def ce(feature: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        return plain(cosines(feature, words, scale), target, counts)

    def ls(feature: Tensor, target: Tensor, extra: Tensor, counts: Tensor) -> Tensor:
        return smoothed(cosines(feature, words, scale), target, extra, share, counts)

    a, o = with_attribute, with_object
    terms = [
        ce(a["joint"], attribute[0], has[1]),
        ls(a["shared_main"], attribute[0], also[0], has[1]), ls(a["shared_other"], attribute[1], also[1], has[1]),
        ce(a["exclusive_main"], thing[0], has[1]), ce(a["exclusive_other"], thing[1], has[1]),
        ce(o["joint"], thing[0], has[2]),
        ce(o["shared_main"], thing[0], has[2]), ce(o["shared_other"], thing[2], has[2]),
        ls(o["exclusive_main"], attribute[0], also[0], has[2]), ls(o["exclusive_other"], attribute[2], also[2], has[2]),
    ]
    return sum(terms) / len(terms)


def total(out: dict[str, Tensor], batch: dict[str, Tensor], log_prior: Tensor, settings: Distil) -> dict[str, Tensor]:
    """The weighted terms of the loss (point 10), by name.

    `batch` also has `pair` [3B], the rows of the training pairs, and `counts` [3B], which images count outside L_dis;
    `log_prior` [P] is the pairs' log-frequency, by which logits are raised in training (logit adjustment, Menon et al.,
    arXiv 2007.07314, eq. 10).
    """
    scale, has, weights = 1 / settings.temperature, batch["counts"], settings.terms
    logits = cosines(out["vector"], out["pairs"], scale) + settings.prior * log_prior
    terms = {"composition": weights.composition * plain(logits, batch["pair"], has)}
    if weights.orthogonality:
        both = (orthogonality(out[name], has) for name in ("local", "global"))
        terms["orthogonality"] = weights.orthogonality * sum(both) / 2
    if weights.disentangling:
        terms["disentangling"] = weights.disentangling * disentangled(
            out["with_attribute"], out["with_object"], out["words"], batch, scale, settings.smoothing)
    if weights.primitives:
        attribute = smoothed(cosines(out["attribute"], out["words"], scale), batch["attribute"], batch["also"],
                             settings.smoothing, has)
        thing = plain(cosines(out["object"], out["words"], scale), batch["object"], has)
        terms["primitives"] = weights.primitives * (attribute + thing) / 2
    return terms
