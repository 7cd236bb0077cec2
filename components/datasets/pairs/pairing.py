"""Which pairs exist, which are seen, and how many pictures each has: long-tailed, in the proportions of UT-Zappos.

83 of 192 pairs are for training; of these 15 come again in validation and 18 in test, beside 15 and 18 pairs that
training never shows. Every attribute and every object is in at least three training pairs. An attribute's pairs are
few, so that which object it comes with says much and misleads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from components.base.errors import UserError
from components.datasets.pairs.catalogue import ATTRIBUTES, OBJECTS

Pair = tuple[str, str]
SEEN, HELD_OUT = 83, {"val": (15, 15), "test": (18, 18)}  # training pairs; (seen, unseen) pairs of the other sets
SETS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class PairsSpec:
    """How many pictures of each set to draw (a tenth of UT-Zappos by default), on which seed, of which side."""

    seed: int = 0
    train: int = 2300
    val: int = 321
    test: int = 291
    side: int = 128


def label(pair: Pair) -> str:
    """A pair as the label of a sample."""
    return " ".join(pair)


@cache
def counts(spec: PairsSpec) -> Mapping[str, Mapping[Pair, int]]:
    """{set: {pair: pictures}}; the same for the same spec.

    Raises UserError for fewer pictures than pairs.
    """
    rng = np.random.default_rng([spec.seed, 411])
    everything = [(a, o) for a in ATTRIBUTES for o in OBJECTS]
    order = rng.permutation(len(everything))
    while not _covers([everything[i] for i in order[:SEEN]]):
        order = rng.permutation(len(everything))
    shuffled = [everything[i] for i in order]
    train, rest = shuffled[:SEEN], shuffled[SEEN:]
    out = {"train": _tail(train, spec.train, 1.0, "train")}
    for name, (seen, unseen) in HELD_OUT.items():
        again = [train[i] for i in sorted(rng.choice(SEEN, seen, replace=False))]
        new, rest = rest[:unseen], rest[unseen:]
        out[name] = _tail(again + new, getattr(spec, name), .4, name)
    return out


def _covers(pairs: list[Pair]) -> bool:
    return all(sum(pair[column] == word for pair in pairs) >= 3
               for column, words in enumerate((ATTRIBUTES, OBJECTS)) for word in words)


def _tail(pairs: list[Pair], total: int, steep: float, name: str) -> dict[Pair, int]:
    """So many pictures over the pairs, by 1 / rank ** steep, at least one each."""
    if total < len(pairs):
        raise UserError(f"{total} pictures for {len(pairs)} pairs", where=f"draw.{name}",
                        mend=f"draw at least {len(pairs)}")
    share = np.arange(1, len(pairs) + 1) ** -steep
    whole = 1 + np.floor(share / share.sum() * (total - len(pairs))).astype(int)
    whole[:total - whole.sum()] += 1
    return dict(zip(pairs, whole.tolist(), strict=True))
