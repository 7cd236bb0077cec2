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
    top: int = 5,
    also: Sequence[Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """One prediction per image: ranked "verbs" with "scores", and "frames" of the best `top` (see the format in docs).

    `run_encoder(images)` gives "scene" [B,E], "memory" [B,T,M], "whole" [B,D]; `run_decoder` takes memory, verb, roles,
    present, whole and gives "noun" [B,R,E], "box" [B,R,4], "exists" [B,R]. `sizes` are (width, height) of the images.
    `extra_verbs`, when given, are the only verbs that compete: any text with its vector; a verb outside the vocabulary
    gets every known role and keeps those it finds. `extra_nouns` join the nouns. `also` names further verbs to decode
    for each image (the true one, when scoring).
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

    everything = {name: tables["verbs"][i] for name, i in row.items()} | dict(zip(names, vectors, strict=True))
    predictions, jobs = [], []
    for i, ranked in enumerate(order):
        best = [names[v] for v in ranked]
        predictions.append(
            {
                "verbs": best,
                "scores": [round(float(probability[i, v]), 4) for v in ranked],
                "confident": bool(probability[i, ranked[0]] >= decoding["abstain_below"]),
                "frames": {},
            }
        )
        jobs += [(i, verb) for verb in dict.fromkeys([*best, *(also[i] if also else ())])]
    nouns = list(vocabulary["nouns"].items()) + [(n, {"name": n}) for n in extra_nouns or ()]
    noun_vectors = (
        np.concatenate([tables["nouns"], np.stack(list(extra_nouns.values()))]) if extra_nouns else tables["nouns"]
    )
    for start in range(0, len(jobs), CHUNK):
        _frames(
            jobs[start : start + CHUNK],
            predictions,
            encoded,
            run_decoder,
            everything,
            vocabulary,
            tables["roles"],
            nouns,
            noun_vectors,
            decoding,
            sizes,
        )
    return predictions


def _frames(
    jobs,
    predictions,
    encoded,
    run_decoder,
    verb_vectors,
    vocabulary,
    role_vectors,
    nouns,
    noun_vectors,
    decoding,
    sizes,
) -> None:
    """Decodes (image, verb) pairs together and writes their frames into the predictions."""
    all_roles = list(vocabulary["roles"])
    place = {name: i for i, name in enumerate(all_roles)}
    orders = [vocabulary["verbs"][v]["order"] if v in vocabulary["verbs"] else all_roles for _, v in jobs]
    most = max(map(len, orders))
    roles = np.zeros((len(jobs), most, role_vectors.shape[1]), np.float32)
    present = np.zeros((len(jobs), most), bool)
    for j, order in enumerate(orders):
        roles[j, : len(order)] = role_vectors[[place[r] for r in order]]
        present[j, : len(order)] = True
    at = np.array([i for i, _ in jobs])
    out = run_decoder(
        {
            "memory": encoded["memory"][at],
            "whole": encoded["whole"][at],
            "roles": roles,
            "present": present,
            "verb": np.stack([verb_vectors[v] for _, v in jobs]).astype(np.float32),
        }
    )
    chance = np.exp(log_softmax(decoding["scale_noun"] * out["noun"] @ noun_vectors.T))  # [J, R, W]
    best = chance.argmax(-1)
    grounded = out["exists"] > 0
    for j, (i, verb) in enumerate(jobs):
        frame = {}
        for r, role in enumerate(orders[j]):
            synset, noun = nouns[best[j, r]]
            if verb not in vocabulary["verbs"] and not synset and not grounded[j, r]:
                continue  # an unlisted verb has no frame: roles that find nothing are not part of it
            frame[role] = {
                "noun": synset,
                "name": noun["name"],
                "score": round(float(chance[j, r, best[j, r]]), 4),
                "box": pixels(out["box"][j, r], sizes[i]) if grounded[j, r] else None,
            }
        predictions[i]["frames"][verb] = frame


def pixels(box: np.ndarray, size: tuple[int, int]) -> list[float] | None:
    """A box (centre, extent; fractions) as pixel corners cut to an image (width, height); None if nothing is left."""
    low, high = np.clip(box[:2] - box[2:] / 2, 0, 1), np.clip(box[:2] + box[2:] / 2, 0, 1)
    x1, y1, x2, y2 = np.concatenate([low, high]) * np.array([*size, *size])
    return [round(float(v), 1) for v in (x1, y1, x2, y2)] if x2 - x1 >= 1 and y2 - y1 >= 1 else None
