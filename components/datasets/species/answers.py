"""What a teacher says of the drawn birds, recorded: its errors follow one of the two regimes measured on real ones.

`wrong`: the species is often wrong, in the same way again and again, and one name covers several species, as large
models do with birds and dogs (cluster accuracy about 70 %, purity about 80 %). `many`: the species is right, under many
names, as they do with cars and flowers (cluster accuracy 50 to 65 %, purity above 95 %).
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from components.base.artifacts import digest
from components.datasets.schema import Sample
from components.datasets.species.catalogue import SPECIES, Species, difference

Regime = Literal["wrong", "many"]
REGIMES: tuple[Regime, ...] = ("wrong", "many")
TEACHER = "recorded-birds"

UNKNOWN = 0.28  # share of species that the teacher of `wrong` never names
SURE = 0.8  # share of images that get its usual name for the species, right where it knows the species
STRANGE = 0.4  # of its errors, usual ones and others: a bird that is not in the world
PLACES = ("Northern", "Southern", "Eastern", "Western", "Desert", "River", "Mountain", "Forest", "Coastal", "Steppe",
          "Royal", "Lesser", "Dwarf", "Pale", "Dusky", "Golden", "Silver", "Crowned", "Ringed", "Long-legged")
INDIVIDUALS = ("Male", "Female", "Juvenile", "Adult", "Immature")


def record(samples: Sequence[Sample], regime: Regime, seed: int = 0) -> list[dict[str, Any]]:
    """One record an image: `image`, `labels`, `response`, `teacher`, `seconds`, `tokens_in`, `tokens_out`.

    Nothing in a record tells the true species but the teacher's own words. An image's answer depends on nothing but its
    content, the regime and the seed.
    """
    by_name = {species.name: species for species in SPECIES}
    unknown = _unknown(seed)
    return [_answer(sample, by_name[sample.label], regime, seed, unknown) for sample in samples]


def _answer(sample: Sample, true: Species, regime: Regime, seed: int, unknown: frozenset[str]) -> dict[str, Any]:
    rng = np.random.default_rng(int(digest(["answer", regime, seed, sample.id])[:12], 16))
    label, meant = _wrong(true, unknown, seed, rng) if regime == "wrong" else _many(true, rng)
    latin = f" (*{meant.latin}*)" if meant and rng.random() < .6 else ""
    response = f"The bird in this picture appears to be a **{label}**{latin}."
    return {"image": sample.name, "labels": [label], "response": response, "teacher": f"{TEACHER}-{regime}",
            "seconds": round(float(rng.uniform(1.5, 4)), 3), "tokens_in": 620, "tokens_out": 12 + len(response) // 4}


def _wrong(true: Species, unknown: frozenset[str], seed: int, rng: np.random.Generator) -> tuple[str, Species | None]:
    """The teacher's usual name for this species, or another error; usual for an unknown one is an error too."""
    usual = np.random.default_rng(int(digest(["usual", seed, true.name])[:12], 16))
    if rng.random() > SURE:
        usual = rng
    elif true.name not in unknown:
        usual = None
    meant = true
    if usual:
        if usual.random() < STRANGE:
            return f"{usual.choice(PLACES)} {true.kind}", None
        known = [s for s in SPECIES if s.name not in unknown and s is not true]
        known.sort(key=lambda s: (difference(s, true), digest([seed, s.name, true.name])))
        meant = known[int(usual.random() < .25)]  # mostly the nearest
    return (meant.name if rng.random() > .04 else f"{rng.choice(INDIVIDUALS)} {meant.name}"), meant


def _many(true: Species, rng: np.random.Generator) -> tuple[str, Species]:
    """One of the names of this species, sometimes further specified, hardly ever another species."""
    if rng.random() < .02:
        true = min((s for s in SPECIES if s is not true), key=lambda s: (difference(s, true), s.name))
    name = rng.choice([true.name, true.latin, *true.others], p=[.42, .2, .22, .16])
    if name != true.latin and rng.random() < .22:
        name = f"{rng.choice(INDIVIDUALS)} {name}"
    if rng.random() < .1:
        name = name.replace("-", " ").lower()
    return str(name), true


def _unknown(seed: int) -> frozenset[str]:
    """The species that this teacher never names: never all of a kind."""
    order = sorted(SPECIES, key=lambda s: digest(["unknown", seed, s.name]))
    chosen: list[Species] = []
    for species in order:
        if len(chosen) < UNKNOWN * len(SPECIES) and sum(c.kind == species.kind for c in chosen) < 3:
            chosen.append(species)
    return frozenset(s.name for s in chosen)
