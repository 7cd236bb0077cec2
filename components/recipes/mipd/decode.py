"""From the student's outputs to situations: ranks verbs against text, fills the best ones' roles, names and boxes them.

numpy only: the same code scores the student and runs on the edge, so that what is scored is what ships.

Shapes: B images, E text space, T tokens, V verbs, R roles, W nouns.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Run = Callable[..., Mapping[str, np.ndarray]]
LABELS = "verbs"  # what is ranked, as the key of predictions, vocabulary and tables
CHUNK = 128  # (image, verb) pairs decoded at a time: bounds memory whatever the batch


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def verb_logits(
    scene: np.ndarray, vectors: np.ndarray, evidence: np.ndarray, decoding: Mapping[str, Any]
) -> np.ndarray:
    """Calibrated logits [B, V]: cosines at the learnt scale, less a penalty for having been trained on.

    Calibrated stacking (Chao et al., arXiv 1605.04253) with the penalty scaled by each verb's `evidence` [V] in 0..1.
    """
    return (decoding["scale_verb"] * scene @ vectors.T - decoding["penalty"] * evidence) / decoding["temperature"]


def decode(
    run_encoder: Run,
    run_decoder: Run,
    tables: Mapping[str, np.ndarray],
    vocabulary: Mapping[str, Any],
    decoding: Mapping[str, Any],
    images: Any,
    sizes: Sequence[tuple[int, int]],
    *,
    extra_verbs: Mapping[str, np.ndarray] | None = None,
    extra_nouns: Mapping[str, np.ndarray] | None = None,
    extra_roles: Mapping[str, np.ndarray] | None = None,
    top: int = 5,
    also: Sequence[Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """One prediction per image: ranked "verbs" with "scores", and "frames" of the best `top` (see the format in docs).

    `run_encoder(images)` gives "scene" [B,E], "memory" [B,T,M], "whole" [B,D]; `run_decoder` takes memory, verb, roles,
    present, whole and gives "noun" [B,R,E], "box" [B,R,4], "exists" [B,R]. `sizes` are (width, height) of the images.
    `extra_verbs`, when given, are the only verbs that compete: any text with its vector; a verb outside the vocabulary
    gets every known role and keeps those it finds. `extra_nouns` join the nouns. `extra_roles`, when given, are the
    roles of every verb instead, and all stay. `also` names further verbs to decode for each image (the true one, when
    scoring).

    Confidences are shares of what is right at such a value: "scores" of verbs, a role's "score" (its noun) and
    "box_score" where the verb is right, and "fits": whether any of the competing verbs is the image's at all.
    """
    encoded = run_encoder(images)
    listed = list(vocabulary["verbs"])
    row = {name: i for i, name in enumerate(listed)}
    names = list(extra_verbs) if extra_verbs else list(decoding["candidates"])
    vectors = np.stack([extra_verbs[n] for n in names]) if extra_verbs else tables["verbs"][[row[n] for n in names]]
    evidence = np.array([vocabulary["verbs"][name]["evidence"] if name in row else 0.0 for name in names])
    logits = verb_logits(encoded["scene"], vectors, evidence, decoding)
    probability = np.exp(log_softmax(logits))
    order = np.argsort(-logits, axis=1, kind="stable")[:, : max(top, 1)]
    # without constants of its own (an older bundle) the best verb's probability says whether it fits
    fits = confidence(decoding["fits"], logits.max(1)) if "fits" in decoding else probability.max(1)

    everything = {name: tables["verbs"][i] for name, i in row.items()} | dict(zip(names, vectors, strict=True))
    predictions, jobs = [], []
    for i, ranked in enumerate(order):
        best = [names[v] for v in ranked]
        predictions.append(
            {
                "verbs": best,
                "scores": [round(float(probability[i, v]), 4) for v in ranked],
                "fits": round(float(fits[i]), 4),
                "confident": bool(fits[i] >= decoding["abstain_below"]),
                "frames": {},
            }
        )
        jobs += [(i, verb) for verb in dict.fromkeys([*best, *(also[i] if also else ())])]
    words = Words(vocabulary, tables, everything, extra_roles, extra_nouns or {})
    for start in range(0, len(jobs), CHUNK):
        _frames(jobs[start : start + CHUNK], predictions, encoded, run_decoder, words, decoding, sizes)
    return predictions


class Words:
    """What frames are made of: verbs, roles and nouns as text vectors, listed and given ones together."""

    def __init__(
        self,
        vocabulary: Mapping[str, Any],
        tables: Mapping[str, np.ndarray],
        verbs: Mapping[str, np.ndarray],
        roles: Mapping[str, np.ndarray] | None,
        nouns: Mapping[str, np.ndarray],
    ):
        self.listed, self.verbs, self.given = vocabulary["verbs"], verbs, roles
        self.roles = roles or dict(zip(vocabulary["roles"], tables["roles"], strict=True))
        self.nouns = [*((n, entry["name"]) for n, entry in vocabulary["nouns"].items()), *((n, n) for n in nouns)]
        self.noun_vectors = np.stack([*tables["nouns"], *nouns.values()])  # [W, E]

    def order(self, verb: str) -> list[str]:
        """The roles to look for in the frame of a verb."""
        return list(self.roles) if self.given or verb not in self.listed else list(self.listed[verb]["order"])

    def keeps(self, verb: str) -> bool:
        """Whether a role that finds nothing stays: an unlisted verb has no frame, so it is not part of it."""
        return bool(self.given) or verb in self.listed


def _frames(
    jobs: Sequence[tuple[int, str]],
    predictions: list[dict[str, Any]],
    encoded: Mapping[str, np.ndarray],
    run_decoder: Run,
    words: Words,
    decoding: Mapping[str, Any],
    sizes: Sequence[tuple[int, int]],
) -> None:
    """Decodes (image, verb) pairs together and writes their frames into the predictions."""
    orders = [words.order(verb) for _, verb in jobs]
    most = max(map(len, orders))
    roles = np.zeros((len(jobs), most, len(words.verbs[jobs[0][1]])), np.float32)
    present = np.zeros((len(jobs), most), bool)
    for j, order in enumerate(orders):
        roles[j, : len(order)] = [words.roles[r] for r in order]
        present[j, : len(order)] = True
    at = np.array([i for i, _ in jobs])
    out = run_decoder(
        {
            "memory": encoded["memory"][at],
            "whole": encoded["whole"][at],
            "roles": roles,
            "present": present,
            "verb": np.stack([words.verbs[v] for _, v in jobs]).astype(np.float32),
        }
    )
    chance = np.exp(log_softmax(decoding["scale_noun"] * out["noun"] @ words.noun_vectors.T))  # [J, R, W]
    best, score = chance.argmax(-1), chance.max(-1)
    grounded = out["exists"] > 0
    for j, (i, verb) in enumerate(jobs):
        frame = {}
        for r, role in enumerate(orders[j]):
            synset, name = words.nouns[best[j, r]]
            if not (words.keeps(verb) or synset or grounded[j, r]):
                continue
            box = pixels(out["box"][j, r], sizes[i]) if grounded[j, r] else None
            frame[role] = {"noun": synset, "name": name, "box": box} | _sure(score[j, r], box, sizes[i], decoding)
        predictions[i]["frames"][verb] = frame


def _sure(
    chance: float, box: list[float] | None, size: tuple[int, int], decoding: Mapping[str, Any]
) -> dict[str, float | None]:
    """The "score" of a noun and the "box_score"; without constants for them a noun's own probability, and None."""
    noun = confidence(decoding["noun_right"], logit(chance)) if "noun_right" in decoding else chance
    if box is None or "box_right" not in decoding:
        return {"score": round(float(noun), 4), "box_score": None}
    found = confidence(decoding["box_right"], np.log(area(box, size)), logit(chance))
    return {"score": round(float(noun), 4), "box_score": round(float(found), 4)}


def area(box: Sequence[float], size: tuple[int, int]) -> float:
    """The share of an image (width, height) that a box in pixels covers."""
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])


def logit(chance: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), with p cut to what four decimals tell."""
    inside = np.clip(np.asarray(chance, np.float64), 1e-4, 1 - 1e-4)
    return np.log(inside / (1 - inside))


def confidence(weights: Sequence[float], *evidence: np.ndarray) -> np.ndarray:
    """The probability that `components.evaluation.confidence.fit_logistic` found for evidence, one array a weight."""
    *slopes, offset = weights
    total = offset + sum(slope * one for slope, one in zip(slopes, evidence, strict=True))
    return 1 / (1 + np.exp(-np.clip(total, -60, 60)))


def pixels(box: np.ndarray, size: tuple[int, int]) -> list[float] | None:
    """A box (centre, extent; fractions) as pixel corners cut to an image (width, height); None if nothing is left."""
    low, high = np.clip(box[:2] - box[2:] / 2, 0, 1), np.clip(box[:2] + box[2:] / 2, 0, 1)
    x1, y1, x2, y2 = np.concatenate([low, high]) * np.array([*size, *size])
    return [round(float(v), 1) for v in (x1, y1, x2, y2)] if x2 - x1 >= 1 and y2 - y1 >= 1 else None
