"""The student's loss terms: what labels teach (verb, nouns, boxes) and what the teacher teaches (content, as text).

Every distilled target is a constant (no gradient reaches the teacher's side), and directions are distilled by cosine,
never by norms: the released L1 on an unbounded vector fights the verb loss.

Shapes: B images, T tokens, R roles, E text space, V verbs, W nouns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from components.encoders import geometry
from components.recipes.mipd.config import Terms


@dataclass(frozen=True)
class Tables:
    """Text vectors that scores are taken against.

    `seen` indexes verbs with training images, the only ones that training names; `region_scale` is the teacher's logit
    scale of nouns.
    """

    verbs: Tensor  # [V, E]
    nouns: Tensor  # [W, E]
    seen: Tensor  # [seen]
    log_prior: Tensor  # [seen] log share of each seen verb among the training images
    region_scale: float


def supervised(
    out: dict[str, Tensor], batch: dict[str, Tensor], tables: Tables, smoothing: float, prior: float = 0.0
) -> dict[str, Tensor]:
    """Losses against annotations; samples without one (verb_seen -1, no role present) take no part."""
    present, grounded, box, labelled = batch["present"], batch["grounded"], batch["box"], batch["verb_seen"] >= 0
    terms: dict[str, Tensor] = {}
    if labelled.any():
        seen = out["scale_verb"] * out["scene"][labelled] @ tables.verbs[tables.seen].T
        seen = seen + prior * tables.log_prior  # what is frequent must not win for that alone (Menon 2021, eq. 10)
        terms["verb"] = F.cross_entropy(seen, batch["verb_seen"][labelled], label_smoothing=smoothing)
    if present.any():
        nouns = out["scale_noun"] * out["noun"][present] @ tables.nouns.T  # [K, W]
        terms["noun"] = F.cross_entropy(nouns, batch["noun"][present], label_smoothing=smoothing / 2)
        terms["exists"] = F.binary_cross_entropy_with_logits(out["exists"][present], grounded[present].float())
    if grounded.any():
        true, inside = box[grounded], geometry.share(box[grounded])  # [K, 4], [K, T]
        _, overlap = geometry.iou(out["box"][grounded], true)
        terms["box_l1"] = (out["box"][grounded] - true).abs().mean()
        terms["box_giou"] = (1 - overlap).mean()
        terms["attention"] = -(inside * out["attention"][grounded].log_softmax(-1)).sum(-1).mean()
        tokens = geometry.from_corners(out["token_box"][grounded])  # [K, T, 4]
        each = true[:, None].expand_as(tokens)
        terms["token_l1"] = (inside * (tokens - each).abs().mean(-1)).sum(-1).mean()
        terms["token_giou"] = (inside * (1 - geometry.iou(tokens, each)[1])).sum(-1).mean()
        logits = out["scale_noun"] * out["in_box"][grounded] @ tables.nouns.T
        terms["noun_in_box"] = F.cross_entropy(logits, batch["noun"][grounded], label_smoothing=smoothing / 2)
    return terms


def label_text(out: dict[str, Tensor], batch: dict[str, Tensor], tables: Tables) -> dict[str, Tensor]:
    """The stronger baseline without a teacher: the labels' own nouns as text on the scene vector."""
    share = torch.zeros(len(out["scene"]), len(tables.nouns)).scatter_(1, batch["noun"].clamp(min=0), 1.0)
    share[:, 0] = 0  # "nothing" is no content
    share = share / share.sum(1, keepdim=True).clamp(min=1)
    logits = out["scale_verb"] * out["scene"] @ tables.nouns.T
    return {"label_text": F.kl_div(F.log_softmax(logits, 1), share, reduction="batchmean")}


def taught(out: dict[str, Tensor], batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and batch without the samples of which the teacher said nothing usable."""
    kept = batch["taught"]
    if kept.all():
        return out, batch
    half = kept[: len(batch["composite_scene"])]  # composites are made for the first half of a batch

    def chosen(name: str, value: Tensor) -> Tensor:
        rows = half if name in ("composite", "composite_scene") else kept
        return value[rows] if value.dim() and len(value) == len(rows) else value

    return tuple({name: chosen(name, value) for name, value in part.items()} for part in (out, batch))


def distilled(out: dict[str, Tensor], batch: dict[str, Tensor], tables: Tables) -> dict[str, Tensor]:
    """Losses against the aligned teacher (constants): scenes, composites, instances, every token."""
    batch = batch | {k: batch[k].detach() for k in ("scene", "composite_scene", "instance", "dense")}
    terms = {"scene": _apart(out["scene"], batch["scene"])}
    if "composite" in out:
        terms["scene"] = terms["scene"] + _apart(out["composite"], batch["composite_scene"])
    grounded = batch["grounded"]
    if grounded.any():
        sure = tables.region_scale * batch["instance"][grounded] @ tables.nouns.T
        for student in (out["noun"][grounded], out["in_box"][grounded]):
            terms["instances"] = terms.get("instances", 0) + _divergence(
                out["scale_noun"] * student @ tables.nouns.T, sure
            )
    dense, target = out["dense"], batch["dense"]  # [B, T, E]
    wanted = F.softmax(tables.region_scale * target @ tables.nouns.T, -1)
    weight = wanted.amax(-1)  # where the teacher itself is unsure what it sees, it teaches less
    each = F.kl_div(F.log_softmax(out["scale_noun"] * dense @ tables.nouns.T, -1), wanted, reduction="none").sum(-1)
    terms["dense_nouns"] = (each * weight).sum() / weight.sum()
    terms["dense"] = _apart(dense, target)
    return terms


def _apart(student: Tensor, target: Tensor) -> Tensor:
    """How far unit vectors [..., E] lie from their targets, 0..2."""
    return (1 - (student * target).sum(-1)).mean()


def _divergence(logits: Tensor, target_logits: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(logits, -1), F.softmax(target_logits, -1), reduction="batchmean")


def weighted(terms: dict[str, Tensor], weights: Terms) -> dict[str, Tensor]:
    """Terms times their weights, by name."""
    return {name: getattr(weights, name) * value for name, value in terms.items()}
