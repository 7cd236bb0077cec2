"""Candidate names of an image: the teacher's own and those of its nearest neighbours in the encoder's space.

The paper says that neighbours make the set, not how: the formulas are ours.
Legend: N images, D features, V names, k neighbours.
"""

import numpy as np

_BLOCK = 1024  # rows of the similarity matrix at a time


def neighbours(features: np.ndarray, k: int, *, mutual: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other images of each by cosine: (indices [N, k], cosines [N, k]), nearest first.

    `features` [N, D] need not be unit length. Places without a neighbour (N <= k, or `mutual` and the other does not
    have this one among its own) hold index -1 and cosine -inf. Of equally near ones the first come first.
    """
    unit = _unit(features)
    n = len(unit)
    near, cosine = np.full((n, k), -1), np.full((n, k), -np.inf)
    keep = min(k, n - 1)
    for start in range(0, n if keep > 0 else 0, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf
        best = np.argsort(-similar, axis=1, kind="stable")[:, :keep]
        near[rows, :keep], cosine[rows, :keep] = best, np.take_along_axis(similar, best, 1)
    if mutual:
        returned = (near[near] == np.arange(n)[:, None, None]).any(2) & (near >= 0)
        near, cosine = np.where(returned, near, -1), np.where(returned, cosine, -np.inf)
    return near, cosine


def candidate_sets(names: np.ndarray, near: np.ndarray, size: int) -> np.ndarray:
    """[N, V] bool, S_i = {s_i} and the names of i's neighbours; `names` [N] codes below `size` = V, `near` [N, k]."""
    allowed = np.zeros((len(names), size), bool)
    allowed[np.arange(len(names)), names] = True
    rows, places = np.nonzero(near >= 0)
    allowed[rows, names[near[rows, places]]] = True
    return allowed


def candidate_targets(names: np.ndarray, near: np.ndarray, cosine: np.ndarray, size: int, *, own: float = 0.5,
                      temperature: float = 0.07, support: int = 1) -> np.ndarray:
    """[N, V] the first target: q_i(c) = own [c = s_i] + (1 - own) sum_j a_ij [c = s_j], a_i = softmax(cosine_i / t).

    Without neighbours all mass is on the own name: k = 0, as `own` = 1, is plain cross-entropy on the teacher's names.
    A name that fewer than `support` images bear counts nothing as an own name: it is an error, or soon forgotten.
    """
    borne = np.bincount(names, minlength=size)[names]
    own = np.where((borne >= support) | (own == 1), own, 0.0)[:, None]  # [N, 1]
    target = np.zeros((len(names), size))
    there = near >= 0
    lonely = ~there.any(1)
    shift = np.where(lonely, 0, cosine.max(1, initial=-np.inf))[:, None]
    pull = np.where(there, np.exp(np.where(there, cosine - shift, 0) / temperature), 0)
    share = (1 - own) * pull / np.where(lonely, 1, pull.sum(1))[:, None]
    rows, places = np.nonzero(there)
    np.add.at(target, (rows, names[near[rows, places]]), share[rows, places])
    target[np.arange(len(names)), names] += np.where(lonely, 1.0, own[:, 0])
    return target


def uniform_targets(allowed: np.ndarray) -> np.ndarray:
    """[N, V] every candidate alike: plain partial-label learning."""
    return allowed / allowed.sum(1, keepdims=True)


def with_text(features: np.ndarray, name_vectors: np.ndarray, names: np.ndarray) -> np.ndarray:
    """[N, D] the mean of an image's unit vector and that of its name's text [V, D]: a space that knows the names."""
    return (_unit(features) + _unit(name_vectors)[names]) / 2


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Unit rows, in float64 so that the order of images cannot change who is nearest."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
