"""Groups of images (seen, rare, unseen, ...) from a user's groups.json, told by verb or by image name."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.base.errors import UserError, nearest
from components.base.reading import read_json

EVERYTHING, HARMONIC = "all", "harmonic"  # rows that every report has, or has where it can
PROTOCOL = "protocol"
UNSTATED = "not stated"
STATED = ("names", "images", "boxes")  # of unseen verbs: were they known in training?
_SHAPE = '{"seen": [verbs or image names], "rare": [...], "unseen": [...]}, or {verb: "seen", ...}'


def read_groups(file: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Members by group, and what the file states of unseen verbs in training ({"names", "images", "boxes"}: words).

    The file is {group: [verb or image name]} or {verb or image name: group}; "protocol", if there, is an object with
    the statements. Raises UserError for anything else.
    """
    content = read_json(file)
    if not isinstance(content, dict):
        raise UserError("must be an object of groups", where=str(file), mend=_SHAPE)
    stated = content.pop(PROTOCOL, {})
    if not isinstance(stated, dict) or not all(isinstance(v, str) for v in stated.values()):
        raise UserError("must be an object of words", where=f"{file}: {PROTOCOL}",
                        mend='for example {"names": "known", "images": "unknown", "boxes": "unknown"}')
    groups: dict[str, list[str]] = {}
    for key, value in content.items():
        if isinstance(value, str):
            groups.setdefault(value, []).append(key)
        elif isinstance(value, list) and all(isinstance(v, str) for v in value):
            groups.setdefault(key, []).extend(value)
        else:
            raise UserError("must be a list of verbs or image names, or the name of a group",
                            where=f"{file}: {key}", mend=_SHAPE)
    if not groups:
        raise UserError("there is no group", where=str(file), mend=_SHAPE)
    if taken := sorted({EVERYTHING, HARMONIC} & groups.keys()):
        raise UserError("the name is taken by the report", where=f"{file}: {taken[0]}", mend="call the group otherwise")
    return groups, {key: stated.get(key, UNSTATED) for key in dict.fromkeys([*STATED, *stated])}


def masks(groups: Mapping[str, Sequence[str]], verbs: np.ndarray, images: Collection[str], known: Collection[str],
          where: str) -> dict[str, np.ndarray]:
    """Per group which images belong to it, [N] bool: those of its verbs, and those it names.

    `verbs` [N] are the verbs of `images`, `known` all verbs there are. Groups may overlap.
    Raises UserError for a member that is neither a verb nor an image.
    """
    row = {name: i for i, name in enumerate(images)}
    out = {}
    for group, members in groups.items():
        mask = np.isin(verbs, [m for m in members if m in known])
        for member in members:
            if member in row:
                mask[row[member]] = True
            elif member not in known:
                raise UserError(f"'{member}' is neither a verb of the space nor an annotated image",
                                where=f"{where}: {group}", mend=nearest(member, known))
        out[group] = mask
    return out


def harmonic_sides(names: Collection[str]) -> tuple[str, str] | None:
    """The two groups whose harmonic mean is reported, if both are there."""
    return ("seen", "unseen") if {"seen", "unseen"} <= set(names) else None


def counts(groups: Mapping[str, np.ndarray], total: int) -> dict[str, Any]:
    """{"images in no group", "images in several groups"}: what a reader of a table by groups must know."""
    times = sum((mask.astype(int) for mask in groups.values()), np.zeros(total, int))
    return {"in_no_group": int((times == 0).sum()), "in_several_groups": int((times > 1).sum())}
