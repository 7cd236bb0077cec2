"""A prediction as a sentence: the verb's abstract ("the AGENT rows a VEHICLE at a PLACE") with its nouns filled in."""

import re
from collections.abc import Mapping
from typing import Any

ROLE = re.compile(r"(?:\b(?:a|an|the)\s+)?\b([A-Z]{3,})\b", re.ASCII)
ASIDE = re.compile(r"\s*\([^)]*\)")  # "(when different than the AGENT)"
PREPOSITIONS = frozenset((
    "with", "using", "in", "at", "on", "onto", "into", "from", "to", "toward", "towards", "over", "through",
    "for", "by", "against", "of", "off", "under", "across", "along", "around", "about", "out", "up", "down",
    "upon", "inside", "near", "behind", "between", "over/through",
))
OWNERS = frozenset(("their", "its", "his", "her", "his/her"))
UNCOUNTED = frozenset((
    "water", "snow", "sand", "grass", "ice", "mud", "dirt", "soil", "food", "paper", "rice", "hair", "milk",
    "paint", "smoke", "fire", "land", "people", "men", "women", "children", "furniture", "clothing", "wood",
    "hay", "bread", "meat", "sugar", "butter", "blood", "ground", "outdoors", "indoors", "outside", "inside",
))


def sentence(prediction: Mapping[str, Any], vocabulary: Mapping[str, Any], labels: str = "verbs") -> str:
    """One English sentence for the best of `labels`; where none fits, it says so first."""
    verb = prediction[labels][0]
    frame = prediction.get("frames", {}).get(verb, {})
    nouns = {role.upper(): entry["name"] for role, entry in frame.items() if entry["noun"]}
    listed = vocabulary[labels].get(verb, {})
    own = frame.keys() <= {*listed.get("order", frame)}  # else roles were given, which the template does not know
    abstract = listed.get("abstract", "") if own else ""
    text = _fill(abstract, nouns) if abstract else _plain(verb, nouns)
    if not prediction.get("confident", True):
        return f"No {labels.removesuffix('s')} fits well; the nearest: {text[:1].lower()}{text[1:]}"
    return text[:1].upper() + text[1:]


def _fill(abstract: str, nouns: Mapping[str, str]) -> str:
    """The template with nouns for roles; a role without a noun goes, with the preposition that led to it."""
    abstract = ASIDE.sub(" ", abstract).strip().rstrip(".")
    out, at = "", 0
    for match in ROLE.finditer(abstract):
        out += abstract[at:match.start()]
        at = match.end()
        before = out.rstrip().rpartition(" ")
        if match[1] in nouns:
            owned = before[2].lower().endswith(("'s", "’s")) or before[2].lower() in OWNERS
            out += nouns[match[1]] if owned else with_article(nouns[match[1]])
            continue
        if before[2].lower() in PREPOSITIONS:
            out = before[0] + " "
        else:
            out += "someone" if not out.strip() else "something"
    return re.sub(r"\s+", " ", out + abstract[at:]).strip() + "."


def _plain(verb: str, nouns: Mapping[str, str]) -> str:
    """A verb that nobody wrote a template for: its name, and what was found."""
    found = ", ".join(f"{name} ({role.lower()})" for role, name in nouns.items())
    return f"{verb}: {found}." if found else f"{verb}."


def with_article(noun: str) -> str:
    """"canoe" to "a canoe", "umbrella" to "an umbrella"; plurals and substances stay bare."""
    last = noun.split()[-1].lower()
    plural = last.endswith("s") and not last.endswith(("ss", "us", "nis", "ris", "sis"))
    if last in UNCOUNTED or plural:
        return noun
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
