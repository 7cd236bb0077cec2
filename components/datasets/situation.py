"""Checks a situation annotation (a SWiG entry) against its space, and reads boxes and nouns out of it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from components.base.errors import UserError, nearest

ANNOTATORS = 3
UNGROUNDED = (-1, -1, -1, -1)
_MANY = 5000

Entry = dict[str, Any]
Space = dict[str, Any]


def boxes(entry: Entry) -> dict[str, tuple[float, float, float, float] | None]:
    """Per role the box (x1, y1, x2, y2) in pixels of the image, or None where the role is not grounded."""
    return {role: None if tuple(box) == UNGROUNDED else tuple(box) for role, box in entry["bb"].items()}


def nouns(entry: Entry, role: str) -> tuple[str, ...]:
    """What the annotators named for a role, one each; "" where one saw the role empty."""
    return tuple(frame[role] for frame in entry["frames"])


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: in which field ("" is the whole), with which role, if any, and what to do about it.

    A fault that makes no reader fail and no number wrong is a `warning`.
    """

    field: str
    what: str
    mend: str = ""
    role: str = ""
    warning: bool = False

    def error(self, where: str) -> UserError:
        return UserError(self.what, where=f"{where}: {self.field}" if self.field else where, mend=self.mend)


def check(entry: Any, space: Space, where: str) -> None:
    """Raises UserError naming the field of the first thing wrong with a SWiG entry; `where` names file and image."""
    for fault in faults(entry, space):
        raise fault.error(where)


def faults(entry: Any, space: Space, boxed: bool = True) -> Iterator[Fault]:
    """Everything that is wrong with a SWiG entry, or with an imSitu entry (`boxed` False: no boxes and sizes)."""
    if not isinstance(entry, dict):
        yield Fault("", "the annotation must be an object", _SHAPE)
        return
    missing = [key for key in (("verb", "height", "width", "bb", "frames") if boxed else ("verb", "frames"))
               if key not in entry]
    if missing == ["height", "width", "bb"]:
        yield Fault("", "there are no boxes: these are frames of imSitu",
                    "use the files of SWiG, which add boxes and sizes; only scoring takes imSitu's own")
        return
    if missing:
        yield Fault("", f"'{missing[0]}' is missing", _SHAPE)
        return
    verb = entry["verb"]
    if not isinstance(verb, str) or verb not in space["verbs"]:
        yield Fault("verb", f"unknown verb {verb!r}",
                    nearest(str(verb), space["verbs"]) or "add the verb to the space file")
        return
    roles = space["verbs"][verb]["order"]
    if boxed:
        yield from _box_faults(entry, roles, verb)
    frames = entry["frames"]
    if not isinstance(frames, list) or len(frames) != ANNOTATORS:
        count = len(frames) if isinstance(frames, list) else repr(frames)
        yield Fault("frames", f"expected {ANNOTATORS} frames, one an annotator, got {count}",
                    "repeat the frame if there is only one annotator")
        return
    for number, frame in enumerate(frames):
        yield from _role_faults(frame, roles, verb, f"frames[{number}]")
        for role, noun in frame.items() if isinstance(frame, dict) else ():
            yield from _noun_faults(noun, space["nouns"], f"frames[{number}].{role}", role)


def _box_faults(entry: Entry, roles: list[str], verb: str) -> Iterator[Fault]:
    sized = True
    for key in ("height", "width"):
        if type(entry[key]) is not int or entry[key] < 1:
            sized = False
            yield Fault(key, f"must be a positive whole number, got {entry[key]!r}",
                        "write the image's size in pixels")
    yield from _role_faults(entry["bb"], roles, verb, "bb")
    for role, box in entry["bb"].items() if sized and isinstance(entry["bb"], dict) else ():
        if fault := box_fault(box, entry["width"], entry["height"]):
            yield Fault(f"bb.{role}", *fault, role)


_SHAPE = 'an entry is {"verb", "height", "width", "bb": {role: box}, "frames": [{role: noun}, three of them]}'


def _role_faults(value: Any, roles: list[str], verb: str, field: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(field, "must be an object with one value a role", _SHAPE)
        return
    for role in value:
        if role not in roles:
            yield Fault(field, f"verb '{verb}' has no role '{role}'",
                        nearest(role, roles) or f"its roles are {', '.join(roles)}", role)
    for role in roles:
        if role not in value:
            yield Fault(field, f"role '{role}' of verb '{verb}' is missing",
                        'write "" for an empty role and [-1, -1, -1, -1] for one without a box', role)


def box_fault(box: Any, width: int, height: int) -> tuple[str, str] | None:
    """(what, mend) if a box is not [x1, y1, x2, y2] inside an image of that size, nor the box of no grounding."""
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(v) for v in box):
        return f"malformed box {box!r}", "a box is [x1, y1, x2, y2] in pixels"
    if tuple(box) == UNGROUNDED:
        return None
    x1, y1, x2, y2 = box
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        return (f"box {box} lies outside the image of {width} x {height} pixels",
                "clip the box, or write [-1, -1, -1, -1] if the role is not grounded")
    if x1 >= x2 or y1 >= y2:
        return f"box {box} has no area", "a box has x1 < x2 and y1 < y2"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _noun_faults(noun: Any, known: dict[str, Any], field: str, role: str) -> Iterator[Fault]:
    if not isinstance(noun, str):
        yield Fault(field, f"a noun must be text, got {noun!r}", 'write "" for an empty role', role)
    elif noun and known and noun not in known:
        hint = nearest(noun, known) if len(known) < _MANY else ""  # a search through all of WordNet takes a second
        yield Fault(field, f"unknown noun '{noun}'", hint or "add the noun to the space file", role)


def check_space(space: Any, where: str) -> None:
    """Raises UserError unless `space` has the shape of imsitu_space.json: nouns with glosses, verbs with roles."""
    for fault in space_faults(space):
        raise fault.error(where)


def space_faults(space: Any) -> Iterator[Fault]:
    """Everything that is wrong with a space."""
    if not isinstance(space, dict) or not all(isinstance(space.get(key), dict) for key in ("nouns", "verbs")):
        yield Fault("", 'must be an object with "nouns" and "verbs"', "see imsitu_space.json")
        return
    for noun, value in space["nouns"].items():
        if not isinstance(value, dict) or not _are_texts(value.get("gloss")) or not value["gloss"]:
            yield Fault(f"nouns.{noun}", '"gloss" must be a list of one or more words', "write what the noun is called")
    for verb, value in space["verbs"].items():
        if not isinstance(value, dict) or not _are_texts(value.get("order")) or not value["order"]:
            yield Fault(f"verbs.{verb}", '"order" must be a list of one or more roles', "list the roles of the verb")
        elif set(value["order"]) != set(value.get("roles") or ()):
            yield Fault(f"verbs.{verb}", '"order" and "roles" must name the same roles', "add what either lacks")
        elif len(set(value["order"])) < len(value["order"]):
            yield Fault(f"verbs.{verb}", '"order" names a role twice', "name every role once")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def space_of(entries: Iterable[Entry]) -> Space:
    """A space for annotations that come without one: roles in the order they appear, nouns taken as plain words.

    Entries that are malformed are passed over here; `check` names what is wrong with them.
    """
    verbs: dict[str, Any] = {}
    found: set[str] = set()
    for entry in entries:
        frames = entry.get("frames") if isinstance(entry, dict) else None
        if not isinstance(frames, list) or not isinstance(entry.get("verb"), str):
            continue
        for frame in (f for f in frames if isinstance(f, dict)):
            verbs.setdefault(entry["verb"], list(frame))
            found.update(noun for noun in frame.values() if isinstance(noun, str) and noun)
    return {
        "nouns": {noun: {"gloss": [noun], "def": ""} for noun in sorted(found)},
        "verbs": {verb: {"framenet": "", "abstract": "", "def": "", "order": roles,
                         "roles": {role: {"framenet": "", "def": ""} for role in roles}}
                  for verb, roles in sorted(verbs.items())},
    }
