"""From the student's vector to names: the nearest of the vocabulary, with probabilities.

numpy only: the same code scores the student and runs on the edge, so that what is scored is what ships.

Shapes: B images, W width of the vector, V names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.base.errors import UserError, nearest

LABELS = "names"  # what is ranked, as the key of predictions, vocabulary and tables


def decode(
    run_encoder: Callable[[Any], Mapping[str, np.ndarray]],
    run_decoder: None,
    tables: Mapping[str, np.ndarray],
    vocabulary: Mapping[str, Any],
    decoding: Mapping[str, Any],
    images: Any,
    sizes: Sequence[tuple[int, int]],
    *,
    among: Sequence[str] | None = None,
    top: int = 5,
) -> list[dict[str, Any]]:
    """One prediction per image: ranked "names" of the best `top` with their "scores", and whether it is "confident".

    `run_encoder(images)` gives "vector" [B, W], unit; `tables["names"]` [V, W] are unit rows in the vocabulary's order.
    `among`, when given, are the only names that compete. Raises UserError for one that was not learnt.
    """
    names, vectors = list(vocabulary[LABELS]), tables[LABELS]
    if among is not None:
        rows = [_row(name, names) for name in among]
        names, vectors = [names[r] for r in rows], vectors[rows]
    logits = decoding["scale"] * run_encoder(images)["vector"] @ vectors.T
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    chance = shifted / shifted.sum(1, keepdims=True)
    order = np.argsort(-logits, axis=1, kind="stable")[:, : max(top, 1)]
    return [{LABELS: [names[c] for c in best], "scores": [round(float(row[c]), 4) for c in best],
             "confident": bool(row[best[0]] >= decoding["abstain_below"])}
            for best, row in zip(order, chance, strict=True)]


def _row(name: str, names: Sequence[str]) -> int:
    known = {n.casefold(): i for i, n in enumerate(names)}
    if name.casefold() not in known:
        raise UserError(f"'{name}' is not among the {len(names)} names that this student learnt", where="--among",
                        mend=nearest(name, names) or f"for example {', '.join(names[:3])}")
    return known[name.casefold()]
