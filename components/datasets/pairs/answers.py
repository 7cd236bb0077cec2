"""What a teacher says of the look of the drawn things: three adjectives an image, recorded, with a teacher's errors.

Most are true of the attribute on this material; some are of another attribute, as an observer mistakes soot for dust;
now and then the attribute itself is named, which a recipe must not learn from.
"""

from typing import Any

import numpy as np

from components.base.artifacts import digest
from components.datasets.pairs.catalogue import ATTRIBUTES, LOOKS, OBJECTS
from components.datasets.schema import Sample

TEACHER = "recorded-looks"
MISTAKEN = .12  # share of adjectives that belong to another attribute
TOLD = .05  # share of images whose first adjective is the attribute itself
WORDS = 3


def looks(sample: Sample, words: tuple[str, str], seed: int = 0) -> list[str]:
    """The adjectives of one image of the pair `words`; nothing but its content, the pair and the seed decides them."""
    rng = np.random.default_rng(int(digest(["look", seed, sample.id])[:12], 16))
    attribute, material = words[0], OBJECTS[words[1]]
    said: list[str] = [attribute] if rng.random() < TOLD else []
    while len(said) < WORDS:
        of = attribute if rng.random() > MISTAKEN else ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
        known = [*LOOKS[of][""], *2 * LOOKS[of].get(material, ())]
        word = known[int(rng.integers(len(known)))]
        if word not in said:
            said.append(word)
    return said


def cost(sample: Sample) -> dict[str, Any]:
    """What the answer would have cost a served model of 7 billion parameters."""
    rng = np.random.default_rng(int(digest(["cost", sample.id])[:12], 16))
    return {"seconds": round(float(rng.uniform(.6, 1.4)), 3), "tokens_in": 640, "tokens_out": 14}
