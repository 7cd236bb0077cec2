"""The species: 8 kinds of bird, 6 of each kind, told apart by a cap, a breast, a wing, a size; all names are invented.

A kind (genus) sets the build; its species share colours and differ from each other in one to three traits, so that the
nearest neighbour of a species is always of its own kind.
"""

from dataclasses import dataclass, replace
from typing import Literal

Colour = tuple[int, int, int]
Breast = Literal["plain", "streaked", "spotted", "barred", "banded"]
Head = Literal["plain", "capped", "masked", "hooded"]
Wing = Literal["plain", "barred", "patched"]

INK: dict[str, Colour] = {
    "black": (44, 42, 46), "white": (240, 238, 230), "grey": (136, 140, 148), "brown": (128, 92, 62),
    "rust": (176, 84, 44), "red": (196, 50, 44), "orange": (232, 134, 42), "yellow": (236, 204, 64),
    "olive": (122, 128, 66), "green": (62, 138, 84), "teal": (36, 132, 140), "blue": (62, 104, 184),
    "violet": (118, 78, 158), "pink": (228, 148, 156), "buff": (216, 186, 138), "slate": (86, 98, 116),
}


@dataclass(frozen=True, slots=True)
class Build:
    """The shape of a kind, in body lengths: half axes and tilt (degrees) of the body, place and radius of the head,
    beak (form, length), tail (form, length), length of the legs, crest."""

    body: tuple[float, float, float]
    head: tuple[float, float, float]
    beak: tuple[str, float]
    tail: tuple[str, float]
    legs: float
    crest: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """What tells species of one kind apart; colours are names in INK."""

    back: str
    belly: str
    mark: str  # the colour of cap, mask or hood, and of the marks on the breast
    breast: Breast = "plain"
    head: Head = "plain"
    wing: Wing = "plain"
    beak: str = "black"
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class Species:
    """One species: `name` as it is commonly called, `latin`, other common names, and what it looks like."""

    name: str
    latin: str
    others: tuple[str, ...]
    kind: str
    build: Build
    look: Look


KINDS: dict[str, tuple[str, Build, Look]] = {
    "Finch": ("Pirrula", Build((.46, .31, -18), (.34, -.3, .2), ("cone", .15), ("notched", .34), .24),
              Look("brown", "buff", "red", beak="grey")),
    "Plover": ("Vadaria", Build((.46, .28, -8), (.44, -.28, .17), ("straight", .2), ("short", .2), .5),
               Look("grey", "white", "black", beak="orange")),
    "Teal": ("Natella", Build((.56, .27, 0), (.5, -.34, .17), ("flat", .22), ("short", .16), .12),
             Look("slate", "buff", "rust", beak="grey")),
    "Kite": ("Rapacula", Build((.5, .28, -38), (.3, -.44, .18), ("hooked", .14), ("forked", .56), .22),
             Look("rust", "buff", "white", beak="yellow")),
    "Sunbird": ("Florisuga", Build((.36, .22, -30), (.28, -.28, .15), ("curved", .4), ("notched", .26), .16),
                Look("green", "yellow", "violet")),
    "Halcyon": ("Alcedella", Build((.38, .29, -34), (.26, -.36, .23), ("dagger", .38), ("short", .18), .12),
                Look("blue", "orange", "white")),
    "Jay": ("Garrulina", Build((.46, .27, -24), (.32, -.36, .19), ("straight", .17), ("long", .56), .26, .16),
            Look("blue", "white", "black")),
    "Crane": ("Grallaria", Build((.46, .26, -14), (.52, -.86, .13), ("dagger", .3), ("short", .2), .8),
              Look("grey", "white", "red", beak="olive")),
}

# of each kind: English name, Latin epithet, two other names (the kind is added), and changes to the kind's look
VARIANTS: tuple[tuple[str, str, tuple[str, str], dict[str, object]], ...] = (
    ("Plain", "modesta", ("Common", "Meadow"), {}),
    ("Capped", "capillata", ("Bonneted", "Woodland"), {"head": "capped"}),
    ("Masked", "larvata", ("Bandit", "Hedge"), {"head": "masked"}),
    ("Streak-breasted", "striata", ("Striped", "Marsh"), {"head": "capped", "breast": "streaked"}),
    ("Bar-winged", "alaris", ("Ribbon-winged", "Upland"), {"head": "masked", "wing": "barred"}),
    ("Giant", "gigantea", ("Greater", "Island"), {"size": 1.3, "breast": "spotted", "wing": "patched"}),
)
# per kind two species are changed further, so that no two kinds vary alike
TWISTS: dict[str, dict[int, dict[str, object]]] = {
    "Finch": {1: {"belly": "pink"}, 3: {"back": "olive"}},
    "Plover": {2: {"breast": "banded"}, 4: {"beak": "black"}},
    "Teal": {1: {"head": "hooded"}, 5: {"beak": "yellow"}},
    "Kite": {3: {"head": "plain", "breast": "barred"}, 4: {"head": "hooded"}},
    "Sunbird": {2: {"belly": "red"}, 5: {"mark": "orange"}},
    "Halcyon": {0: {"belly": "rust"}, 4: {"back": "teal"}},
    "Jay": {3: {"breast": "barred", "mark": "slate"}, 5: {"back": "violet"}},
    "Crane": {1: {"back": "white"}, 2: {"mark": "black"}},
}


def _species(kind: str, index: int) -> Species:
    latin, build, look = KINDS[kind]
    word, epithet, others, changes = VARIANTS[index]
    look = replace(look, **changes | TWISTS[kind].get(index, {}))
    return Species(f"{word} {kind}", f"{latin} {epithet}", tuple(f"{o} {kind}" for o in others), kind, build, look)


SPECIES: tuple[Species, ...] = tuple(_species(kind, i) for kind in KINDS for i in range(len(VARIANTS)))

# one species of each kind, another one from kind to kind, of which only few pictures are drawn
RARE: tuple[str, ...] = tuple(SPECIES[len(VARIANTS) * k + (5 * k + 1) % len(VARIANTS)].name for k in range(len(KINDS)))


def difference(a: Species, b: Species) -> int:
    """In how many traits two species differ; kinds that differ count ten."""
    traits = ("back", "belly", "mark", "breast", "head", "wing", "beak", "size")
    return sum(getattr(a.look, t) != getattr(b.look, t) for t in traits) + 10 * (a.kind != b.kind)
