"""The words of the drawn world: nouns, verbs with their frames, the splits at verb level, and SWiG's space schema."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from typing import Any

from .nouns import AGENT_ROWS, ALL_ROWS, PLACE_ROWS
from .poses import POSES
from .verbs import PSEUDO_UNSEEN_NAMES, RARE_NAMES, UNSEEN_NAMES, VERB_ROWS

__all__ = [
    "AGENTS",
    "NOUNS",
    "PLACES",
    "POSES",
    "PSEUDO_UNSEEN",
    "RARE",
    "SEEN",
    "UNSEEN",
    "VERBS",
    "Noun",
    "Slot",
    "Verb",
    "allowed_nouns",
    "broader",
    "check_verb",
    "space",
    "synset",
    "train_counts",
]


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun: its WordNet 3.0 synset in SWiG's form, the name used here, dictionary words and a definition."""

    synset: str
    name: str
    gloss: tuple[str, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A role that an object fills: the synsets it may hold ("" = nothing there) and where the object is drawn."""

    role: str
    nouns: tuple[str, ...]
    placement: str


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its frame. `poses` are keys of POSES, `places` synsets; every part is drawn with equal chance."""

    name: str
    order: tuple[str, ...]
    abstract: str
    definition: str
    poses: tuple[str, ...]
    places: tuple[str, ...]
    slots: tuple[Slot, ...]


_SYNSETS: dict[str, str] = {row[0]: row[1] for row in ALL_ROWS}


def synset(name: str) -> str:
    """The synset of a noun's short name; "-" is the empty noun "". Raises KeyError for an unknown name."""
    return "" if name == "-" else _SYNSETS[name]


def _noun(row: tuple[str, str, str, str, str]) -> Noun:
    return Noun(row[1], row[0], tuple(word.strip() for word in row[2].split(",")), row[3])


def _verb(row: tuple[Any, ...]) -> Verb:
    name, abstract, definition, poses, places, slots = row
    built = tuple(
        Slot(role, tuple(synset(n.strip()) for n in nouns.split(",")), placement) for role, placement, nouns in slots
    )
    roles = {"agent", "place", *(slot.role for slot in built)}
    order = tuple(sorted(roles, key=lambda role: abstract.find(role.upper())))
    return Verb(
        name,
        order,
        abstract,
        definition,
        tuple(poses.split("|")),
        tuple(synset(p.strip()) for p in places.split(",")),
        built,
    )


NOUNS: dict[str, Noun] = {row[1]: _noun(row) for row in ALL_ROWS}
NOUNS[""] = Noun("", "", ("",), "nothing fills the role, or nobody can tell what does")
VERBS: dict[str, Verb] = {row[0]: _verb(row) for row in VERB_ROWS}
AGENTS: tuple[str, ...] = tuple(row[1] for row in AGENT_ROWS)
PLACES: tuple[str, ...] = tuple(row[1] for row in PLACE_ROWS)

UNSEEN: tuple[str, ...] = UNSEEN_NAMES
PSEUDO_UNSEEN: tuple[str, ...] = PSEUDO_UNSEEN_NAMES
RARE: tuple[str, ...] = RARE_NAMES
SEEN: tuple[str, ...] = tuple(name for name in VERBS if name not in UNSEEN and name not in PSEUDO_UNSEEN)

_BROADER: dict[str, tuple[str, ...]] = {
    row[1]: tuple(synset(name.strip()) for name in row[4].split(",") if name.strip()) for row in ALL_ROWS
}


def broader(noun: str) -> tuple[str, ...]:
    """Synsets of the broader or near words an annotator may use instead of `noun`; empty for most abstract nouns."""
    return _BROADER.get(noun, ())


def check_verb(name: str) -> Verb:
    """The verb called `name`. Raises ValueError naming the nearest known verb otherwise."""
    verb = VERBS.get(name)
    if verb is None:
        near = get_close_matches(name, VERBS, n=1, cutoff=0.0)
        raise ValueError(f"unknown verb {name!r}; did you mean {near[0]!r}?")
    return verb


@cache
def allowed_nouns(verb: str, role: str) -> frozenset[str]:
    """All synsets an annotation of `role` may hold: the drawn ones, their broader words, and "" (left open).

    Raises ValueError for an unknown verb or a role that its frame lacks.
    """
    entry = check_verb(verb)
    if role not in entry.order:
        raise ValueError(f"verb {verb!r} has no role {role!r}; its roles are {', '.join(entry.order)}")
    if role == "agent":
        drawn: tuple[str, ...] = AGENTS
    elif role == "place":
        drawn = entry.places
    else:
        drawn = next(slot.nouns for slot in entry.slots if slot.role == role)
    return frozenset(("", *drawn, *(word for noun in drawn for word in broader(noun))))


def space() -> dict[str, Any]:
    """The lexicon in the schema of SWiG's imsitu_space.json."""
    return {
        "nouns": {
            noun.synset: {"gloss": list(noun.gloss), "def": noun.definition} for noun in NOUNS.values() if noun.synset
        },
        "verbs": {
            verb.name: {
                "framenet": verb.name.capitalize(),
                "abstract": verb.abstract,
                "def": verb.definition,
                "order": list(verb.order),
                "roles": {role: {"framenet": role, "def": ROLE_DEFINITIONS[role]} for role in verb.order},
            }
            for verb in VERBS.values()
        },
    }


ROLE_DEFINITIONS: dict[str, str] = {
    "agent": "the one who acts",
    "vehicle": "what carries the agent",
    "tool": "what the agent acts with",
    "item": "what the action is done to",
    "place": "where it happens",
}


def train_counts(total: int) -> dict[str, int]:
    """How many training images each SEEN verb gets: rare verbs 3 to 5, the others a long tail of about 4:1.

    The counts add up to `total`. Raises ValueError if that would leave a common verb with fewer images than a rare one.
    """
    counts = {name: 3 + i % 3 for i, name in enumerate(RARE)}
    common = [name for name in SEEN if name not in counts]
    # Sorting by a scrambled key keeps the head of the tail from being one family of verbs.
    common.sort(key=lambda name: sha256(name.encode()).digest())
    left = total - sum(counts.values())
    if left < 6 * len(common):
        raise ValueError(f"{total} images are too few: {sum(counts.values()) + 6 * len(common)} needed")
    weights = [4 ** (-i / (len(common) - 1)) for i in range(len(common))]
    shares = [left * w / sum(weights) for w in weights]
    floors = [int(share) for share in shares]
    by_rest = sorted(range(len(common)), key=lambda i: (floors[i] - shares[i], i))
    for i in by_rest[: left - sum(floors)]:
        floors[i] += 1
    counts.update(zip(common, floors, strict=True))
    return {name: counts[name] for name in SEEN}
