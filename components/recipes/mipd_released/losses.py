"""The released losses, and those that its mended faults call for.

Shapes: B images, R roles, E text space, V verbs, W nouns.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from components.encoders import geometry
from components.recipes.mipd_released.config import Distil, Faults


def supervised(out: Mapping[str, Tensor], batch: Mapping[str, Tensor], verbs: Tensor, nouns: Tensor,
               settings: Distil) -> dict[str, Tensor]:
    """Losses against annotations; samples without one take no part. verbs [V,E] that compete, nouns [W,E] as text."""
    present, grounded, labelled = batch["present"], batch["grounded"], batch["answer"] >= 0
    terms: dict[str, Tensor] = {}
    if labelled.any():
        logits = out["scale_verb"] * out["scene"][labelled] @ verbs.T
        terms["verb"] = F.cross_entropy(logits, batch["answer"][labelled], label_smoothing=settings.verb_smoothing)
    if present.any():
        truth = batch["noun"][present]
        for name, logits in (("noun", out["nouns"]), ("open_noun", out["open"] @ nouns.T)):
            terms[name] = F.cross_entropy(logits[present], truth, label_smoothing=settings.noun_smoothing)
        terms["exists"] = F.binary_cross_entropy_with_logits(out["exists"][present], grounded[present].float())
    if grounded.any():
        counted = grounded.sum(1)
        of_image = grounded / (counted.clamp(min=1) * (counted > 0).sum())[:, None]  # [B, R] weights that sum to 1
        terms["box_l1"] = (of_image * (out["box"] - batch["box"]).abs().sum(-1)).sum()
        terms["box_giou"] = (of_image * (1 - geometry.iou(out["box"], batch["box"])[1])).sum()
    return terms


def distilled(out: Mapping[str, Tensor], batch: Mapping[str, Tensor], faults: Faults) -> dict[str, Tensor]:
    """Losses against the aligned teacher, over the samples of which it said something usable."""
    rows, said = batch["taught"], batch["said"]
    heard, present = out["scene_target"], batch["present"]
    region = (out["open"] * present[..., None]).sum(1) / present.sum(1, keepdim=True).clamp(min=1)  # [B, E]
    told = rows & (batch["length"][:, 2] > 0) & present.any(1)  # with a gaze
    terms = {
        "scene": _distance(out["scene"], heard, rows, faults),
        "scene_negative": _mean(F.relu(F.cosine_similarity(heard, out["unlike"])), rows),
        "instance_negative": _mean(F.relu(F.cosine_similarity(out["instance_target"], out["unlike_instance"])), told),
    }
    if not faults.instance_unheard:
        terms["instance"] = _distance(region, out["instance_target"], told, faults)
    if not faults.positives_unpulled:
        terms["scene_pull"] = _mean(1 - F.cosine_similarity(heard, said[:, 0]), rows)
        terms["instance_pull"] = _mean(1 - F.cosine_similarity(out["instance_target"], said[:, 1]), told)
    return terms


def _distance(student: Tensor, target: Tensor, rows: Tensor, faults: Faults) -> Tensor:
    """L1; the target is a constant unless it is dragged along."""
    return _mean((student - (target if faults.teacher_dragged else target.detach())).abs().mean(-1), rows)


def _mean(values: Tensor, rows: Tensor) -> Tensor:  # [B], [B] bool -> scalar
    return (values * rows).sum() / rows.sum().clamp(min=1)


def flip(features: Tensor, box: Tensor, grid: Tensor | None, alone: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Everything mirrored, or with `alone` the boxes only, as released.  # [B,T,C], [B,R,4], [B,1+T,D]"""
    from components.encoders.image import mirror

    box = geometry.mirror(box)
    if alone:
        return features, box, grid
    if grid is not None:
        grid = torch.cat([grid[:, :1], mirror(grid[:, 1:])], 1)
    return mirror(features), box, grid
