"""Checks a situation annotation (a SWiG entry) against its space, and reads boxes and nouns out of it."""

import math
from collections.abc import Iterable
from typing import Any

from components.base.errors import UserError, nearest

ANNOTATORS = 3
UNGROUNDED = (-1, -1, -1, -1)

Entry = dict[str, Any]
Space = dict[str, Any]


def boxes(entry: Entry) -> dict[str, tuple[float, float, float, float] | None]:
    """Per role the box (x1, y1, x2, y2) in pixels of the image, or None where the role is not grounded."""
    return {role: None if tuple(box) == UNGROUNDED else tuple(box) for role, box in entry["bb"].items()}


def nouns(entry: Entry, role: str) -> tuple[str, ...]:
    """What the annotators named for a role, one each; "" where one saw the role empty."""
    return tuple(frame[role] for frame in entry["frames"])


def check(entry: Any, space: Space, where: str) -> None:
    """Raises UserError naming the field of the first thing wrong with a SWiG entry; `where` names file and image."""
    if not isinstance(entry, dict):
        raise UserError("the annotation must be an object", where=where, mend=_SHAPE)
    for key in ("verb", "height", "width", "bb", "frames"):
        if key not in entry:
            raise UserError(f"'{key}' is missing", where=where, mend=_SHAPE)
    verb = entry["verb"]
    if not isinstance(verb, str) or verb not in space["verbs"]:
        raise UserError(f"unknown verb {verb!r}", where=f"{where}: verb",
                        mend=nearest(str(verb), space["verbs"]) or "add the verb to the space file")
    for key in ("height", "width"):
        if type(entry[key]) is not int or entry[key] < 1:
            raise UserError(f"must be a positive whole number, got {entry[key]!r}", where=f"{where}: {key}")
    roles = space["verbs"][verb]["order"]
    _check_roles(entry["bb"], roles, verb, f"{where}: bb")
    for role, box in entry["bb"].items():
        _check_box(box, entry["width"], entry["height"], f"{where}: bb.{role}")
    frames = entry["frames"]
    if not isinstance(frames, list) or len(frames) != ANNOTATORS:
        count = len(frames) if isinstance(frames, list) else repr(frames)
        raise UserError(f"expected {ANNOTATORS} frames, one an annotator, got {count}", where=f"{where}: frames",
                        mend="repeat the frame if there is only one annotator")
    for number, frame in enumerate(frames):
        _check_roles(frame, roles, verb, f"{where}: frames[{number}]")
        for role, noun in frame.items():
            _check_noun(noun, space["nouns"], f"{where}: frames[{number}].{role}")


_SHAPE = 'an entry is {"verb", "height", "width", "bb": {role: box}, "frames": [{role: noun}, three of them]}'


def _check_roles(value: Any, roles: list[str], verb: str, where: str) -> None:
    if not isinstance(value, dict):
        raise UserError("must be an object with one value a role", where=where, mend=_SHAPE)
    for role in value:
        if role not in roles:
            raise UserError(f"verb '{verb}' has no role '{role}'", where=where,
                            mend=nearest(role, roles) or f"its roles are {', '.join(roles)}")
    missing = [role for role in roles if role not in value]
    if missing:
        raise UserError(f"role '{missing[0]}' of verb '{verb}' is missing", where=where,
                        mend='write "" for an empty role and [-1, -1, -1, -1] for one without a box')


def _check_box(box: Any, width: int, height: int, where: str) -> None:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(v) for v in box):
        raise UserError(f"malformed box {box!r}", where=where, mend="a box is [x1, y1, x2, y2] in pixels")
    if tuple(box) == UNGROUNDED:
        return
    x1, y1, x2, y2 = box
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        raise UserError(f"box {box} lies outside the image of {width} x {height} pixels", where=where,
                        mend="clip the box, or write [-1, -1, -1, -1] if the role is not grounded")
    if x1 >= x2 or y1 >= y2:
        raise UserError(f"box {box} has no area", where=where, mend="a box has x1 < x2 and y1 < y2")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _check_noun(noun: Any, known: dict[str, Any], where: str) -> None:
    if not isinstance(noun, str):
        raise UserError(f"a noun must be text, got {noun!r}", where=where, mend='write "" for an empty role')
    if noun and known and noun not in known:
        raise UserError(f"unknown noun '{noun}'", where=where,
                        mend=nearest(noun, known) or "add the noun to the space file")


def check_space(space: Any, where: str) -> None:
    """Raises UserError unless `space` has the shape of imsitu_space.json: nouns with glosses, verbs with roles."""
    if not isinstance(space, dict) or not all(isinstance(space.get(key), dict) for key in ("nouns", "verbs")):
        raise UserError('must be an object with "nouns" and "verbs"', where=where, mend="see imsitu_space.json")
    for noun, value in space["nouns"].items():
        if not isinstance(value, dict) or not _are_texts(value.get("gloss")) or not value["gloss"]:
            raise UserError('"gloss" must be a list of one or more words', where=f"{where}: nouns.{noun}")
    for verb, value in space["verbs"].items():
        if not isinstance(value, dict) or not _are_texts(value.get("order")) or not value["order"]:
            raise UserError('"order" must be a list of one or more roles', where=f"{where}: verbs.{verb}")
        if set(value["order"]) != set(value.get("roles") or ()):
            raise UserError('"order" and "roles" must name the same roles', where=f"{where}: verbs.{verb}")


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
