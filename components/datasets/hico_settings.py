"""The zero-shot settings of HICO-DET: which of the 600 interactions training may not know.

RF-UC and NF-UC are made by their rule from training counts; UO and UV rest on a choice of 12 objects and of 20 verbs
that follows no rule, so their lists come from the user. Sources: Hou et al., Visual Compositional Learning
(arXiv 2007.12407); Liao et al., GEN-VLKT (arXiv 2203.13954), whose lists are what published numbers refer to.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.hico import CLASSES, Hico, Kind

SIZES = {"rf-uc": 120, "nf-uc": 120, "uo": 100, "uv": 84}
_ALIASES = {"rf-uc": "rare_first", "nf-uc": "non_rare_first", "uo": "unseen_object", "uv": "unseen_verb"}


def unseen(setting: str, train: Hico | None, lists: Path | None, kinds: Mapping[int, Kind]) -> frozenset[int]:
    """The unseen interactions (1 to 600) of a setting: from the user's lists where they have it, else by rule.

    `train` gives the counts for the rule; `kinds` the verb and object of each interaction, by which a list is checked.
    Raises UserError where neither can be had, and for a list that does not fit its setting.
    """
    if lists is not None:
        listed = _listed(setting, lists)
        if listed is not None:
            _check(setting, listed, kinds, f"{lists}: {setting}")
            return listed
    if setting in ("uo", "uv"):
        raise UserError(f"the unseen interactions of '{setting}' follow no rule", where="--setting",
                        mend=f'give them with --lists FILE: {{"{setting}": [numbers from 0]}}')
    if train is None:
        raise UserError(f"'{setting}' is made from training counts", where="--setting",
                        mend="give the training annotations with --train FILE, or a list with --lists FILE")
    return by_rule(train.counts(), train.kinds, rare_first=setting == "rf-uc")


def by_rule(counts: Mapping[int, int], kinds: Mapping[int, Kind], *, rare_first: bool) -> frozenset[int]:
    """120 interactions, rarest (or most frequent) first, passing over those whose verb or object would be left unseen.

    The rule leaves the order of equal counts open; here verbs with fewer interactions come first, then higher numbers,
    which gives the published lists. Raises UserError where `counts` lack an interaction: the rule needs all.
    """
    if lacking := [hoi for hoi in range(1, CLASSES + 1) if hoi not in kinds or not counts.get(hoi)]:
        raise UserError(f"{len(lacking)} of {CLASSES} interactions have no training pair, the first is {lacking[0]}",
                        where="--train", mend="give the annotations of the whole training split")
    verbs, things = (Counter(kind[i] for kind in kinds.values()) for i in (0, 1))
    several = dict(verbs)
    sign = 1 if rare_first else -1
    chosen: set[int] = set()
    for hoi in sorted(kinds, key=lambda h: (sign * counts[h], several[kinds[h][0]], -h)):
        verb, thing = kinds[hoi]
        if verbs[verb] > 1 and things[thing] > 1:
            chosen.add(hoi)
            verbs[verb] -= 1
            things[thing] -= 1
        if len(chosen) == SIZES["rf-uc"]:
            break
    return frozenset(chosen)


def _listed(setting: str, file: Path) -> frozenset[int] | None:
    """The list of a setting, which counts interactions from 0; None where the file has none."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise UserError("must be an object of lists by setting", where=str(file), mend='{"uo": [numbers from 0]}')
    value = content.get(setting, content.get(_ALIASES[setting]))
    if isinstance(value, dict):
        value = value.get("unseen")
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(v) is int and 0 <= v < CLASSES for v in value):
        raise UserError(f"must be a list of numbers from 0 to {CLASSES - 1}", where=f"{file}: {setting}")
    return frozenset(v + 1 for v in value)


def _check(setting: str, listed: frozenset[int], kinds: Mapping[int, Kind], where: str) -> None:
    """UO is closed under objects and UV under verbs; in the UC settings every verb and object stays seen."""
    if len(listed) != SIZES[setting]:
        raise UserError(f"{len(listed)} interactions, the setting has {SIZES[setting]}", where=where,
                        mend="give the published list")
    if len(kinds) < CLASSES:
        return  # a file that does not tell of all of them cannot gainsay
    for part, word in ((0, "verb"), (1, "object")):
        seen = {kind[part] for hoi, kind in kinds.items() if hoi not in listed}
        lost = {kind[part] for kind in kinds.values()} - seen
        split = {kinds[hoi][part] for hoi in listed} & seen
        if setting.endswith("-uc") and lost:
            raise UserError(f"the {word} {min(lost)} is left without a seen interaction", where=where,
                            mend="numbers count from 0")
        if (setting, word) in (("uo", "object"), ("uv", "verb")) and split:
            raise UserError(f"the {word} {min(split)} is seen in other interactions", where=where,
                            mend="numbers count from 0; list every interaction of an unseen one")
