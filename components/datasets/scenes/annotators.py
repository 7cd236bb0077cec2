"""Three simulated annotators who mostly agree: sometimes one uses a broader word or leaves a role open."""

from collections.abc import Mapping

import numpy as np

from .lexicon import broader

ANNOTATORS = 3
BROAD_CHANCE = .2  # per role: one of the three writes a broader or near word
OPEN_CHANCE = .08  # per role: one of the three leaves it open


def annotators(truth: Mapping[str, str], rng: np.random.Generator) -> tuple[dict[str, str], ...]:
    """Three frames (role -> synset or "") for the true nouns.

    For every role at most one annotator deviates, so two of three frames hold the true noun; who deviates is drawn
    anew for each role, so any frame may hold deviations. Nouns without broader words and empty roles only meet the
    second kind of deviation and none at all, respectively.
    """
    frames = tuple(dict(truth) for _ in range(ANNOTATORS))
    for role, noun in truth.items():
        chance, who, which = float(rng.random()), int(rng.integers(ANNOTATORS)), int(rng.integers(1 << 16))
        words = broader(noun)
        if noun and chance < OPEN_CHANCE:
            frames[who][role] = ""
        elif words and chance < OPEN_CHANCE + BROAD_CHANCE:
            frames[who][role] = words[which % len(words)]
    return frames
