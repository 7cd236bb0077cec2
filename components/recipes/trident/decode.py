"""From the student's vectors to named pairs: cosines with pair vectors, words as a second opinion, a calibrated bias.

numpy only: the same code scores the student and runs on the edge, so that what is scored is what ships.

Shapes: B images, D width, P pairs, A attributes, O objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.base.errors import UserError, nearest

LABELS = "pairs"  # what is ranked, as the key of predictions, vocabulary and tables
Run = Callable[..., Mapping[str, np.ndarray]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def pair_scores(seen: Mapping[str, np.ndarray], vectors: np.ndarray, parts: np.ndarray,
                tables: Mapping[str, np.ndarray], scale: float, primitives: float) -> np.ndarray:
    """Scores [B, P] of pairs with unit `vectors` [P, D], whose words are `parts` [P, 2] (attribute, object).

    `seen` holds unit "vector", "attribute", "object" [B, D]; `tables` unit word vectors "attributes" [A, D], "objects"
    [O, D]. `primitives` weighs log p(attribute) + log p(object) beside the scaled cosine of the whole.
    """
    out = scale * seen["vector"] @ vectors.T
    if primitives:
        attribute, thing = (log_softmax(scale * seen[one] @ tables[many].T)
                            for one, many in (("attribute", "attributes"), ("object", "objects")))
        out = out + primitives * (attribute[:, parts[:, 0]] + thing[:, parts[:, 1]])
    return out


def decode(
    run_encoder: Run,
    run_decoder: Run,
    tables: Mapping[str, np.ndarray],
    vocabulary: Mapping[str, Any],
    decoding: Mapping[str, Any],
    images: Any,
    sizes: Sequence[tuple[int, int]],
    *,
    among: Sequence[str] | None = None,
    top: int = 5,
) -> list[dict[str, Any]]:
    """One prediction per image: the best `top` pairs under "pairs" with probabilities under "scores".

    `run_encoder(images)` gives "vector", "attribute", "object" [B, D], `run_decoder` takes "attribute" and "thing"
    [K, H] and gives unit "pair" [K, D]. `among`, when given, are the only pairs that compete: attribute and object
    that are known, in any combination. Raises UserError for a pair of other words.
    """
    listed = vocabulary[LABELS]
    if among is not None:
        parts = np.array([_parts(name, vocabulary) for name in among])
        names = [f"{vocabulary['attributes'][a]} {vocabulary['objects'][o]}" for a, o in parts]
        vectors = run_decoder({"attribute": tables["states"][parts[:, 0]],
                               "thing": tables["states"][len(vocabulary["attributes"]) + parts[:, 1]]})["pair"]
    else:
        names, vectors = list(listed), tables[LABELS]
        parts = np.array([entry["parts"] for entry in listed.values()])
    unseen = np.array([name not in listed or listed[name]["group"] == "unseen" for name in names])
    scores = pair_scores(run_encoder(images), vectors, parts, tables, decoding["scale"], decoding["primitives"])
    chance = np.exp(log_softmax((scores + decoding["bias"] * unseen) / decoding["temperature"]))
    order = np.argsort(-chance, 1, kind="stable")[:, :max(top, 1)]
    return [{LABELS: [names[p] for p in ranked], "scores": [round(float(chance[i, p]), 4) for p in ranked],
             "confident": bool(chance[i, ranked[0]] >= decoding["abstain_below"])} for i, ranked in enumerate(order)]


def _parts(name: str, vocabulary: Mapping[str, Any]) -> tuple[int, int]:
    """The words of a pair given as text, whatever their case."""
    words = name.casefold().split()
    known = [{w.casefold(): i for i, w in enumerate(vocabulary[kind])} for kind in ("attributes", "objects")]
    for cut in range(1, len(words)):
        attribute, thing = " ".join(words[:cut]), " ".join(words[cut:])
        if attribute in known[0] and thing in known[1]:
            return known[0][attribute], known[1][thing]
    lost = [n for n, kind in zip((words[:1], words[-1:]), known, strict=True) if n and n[0] not in kind]
    raise UserError(f"'{name}' is no attribute and object that this student knows", where="--among",
                    mend=nearest(lost[0][0], [*known[0], *known[1]]) if lost else 'write "attribute object"')
