"""Reasons to think that two names mean the same, each with the share of such pairs that may be expected to.

All reasons are found in the names themselves, in how often they are used and in what the teacher wrote beside them;
none knows a subject. A reliability is a cautious estimate, half of the doubt is kept in reserve: see docs/names.md.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from components.datasets.names.spelling import aside, key, one_slip, shortened, words, years

ATTESTED = 3  # images from which on a name is taken to stand for something of its own
LONG_WORD = 8  # letters from which on a single word has hardly any true neighbours
VINTAGE_GAP = 3  # years within which two dates are taken to mean the same make
MOST_PER_SCIENTIFIC, MOST_FREQUENT = 5, 2  # a scientific name of more names, of more in frequent use, is that of all
ORDER, VINTAGE, SCIENTIFIC, TYPO, ALIAS, DISPENSABLE = 0.97, 0.95, 0.93, 0.93, 0.9, 0.85
BEFORE, AFTER = (0.85, 0.75), (0.8,)  # where one, two longer names extend a shorter one

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """That the names with keys `a` and `b` mean the same: `reliability` in 0..1, `because` for the reader."""

    a: str
    b: str
    reliability: float
    because: str


@dataclass(frozen=True, slots=True)
class Name:
    """One name in use, all spellings with the same key together: its usual spelling, its words, its images."""

    key: str
    text: str
    words: Words
    images: int


Vocabulary = dict[str, Name]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher said of one image: the name that counts, further labels, all that it wrote."""

    name: str
    others: tuple[str, ...] = ()
    response: str = ""


def vocabulary(names: Iterable[str]) -> Vocabulary:
    """The names in use by key, from one name an image; the usual spelling is the most frequent, then the first in
    the alphabet. Does not depend on the order of the images."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for text, count in Counter(names).items():
        spellings[key(words(text))][text] += count
    made = {}
    for each, counts in sorted(spellings.items()):
        usual = min(counts, key=lambda text: (-counts[text], text))
        made[each] = Name(each, usual, words(usual), counts.total())
    return made


def find(names: Vocabulary, answers: Sequence[Answer]) -> list[Evidence]:
    """All evidence about a vocabulary in the answers it comes from, the most reliable first."""
    found = [*_order(names), *_typos(names), *_vintages(names), *_extended(names), *_dispensable(names),
             *_brackets(names), *_written(names, answers), *_listed(names, answers), *_said(names, answers)]
    return sorted({e for e in found if e.a != e.b}, key=lambda e: (-e.reliability, e.a, e.b, e.because))


def _chain(keys: Iterable[str], reliability: float, because: str) -> Iterator[Evidence]:
    """Names that all mean one thing, as pairs with the first."""
    first, *others = sorted(set(keys))
    for other in others:
        yield Evidence(first, other, reliability, because)


def _order(names: Vocabulary) -> Iterator[Evidence]:
    same: dict[Words, list[str]] = defaultdict(list)
    for name in names.values():
        same[tuple(sorted(name.words))].append(name.key)
    for keys in same.values():
        yield from _chain(keys, ORDER, "the same words in another order")


def _typos(names: Vocabulary) -> Iterator[Evidence]:
    """Names that differ in one word by one slip. Where both are in frequent use, neither is a slip of the other."""
    near: dict[tuple[Words, str, Words], set[tuple[str, str]]] = defaultdict(set)
    for name in names.values():
        for i, word in enumerate(name.words):
            if word.isalpha() and len(word) > 3:
                for left in shortened(word):
                    near[name.words[:i], left, name.words[i + 1:]].add((name.key, word))
    for group in near.values():
        for a, word in group:
            for b, other in group:
                rare = min(names[a].images, names[b].images) < ATTESTED
                if a < b and rare and one_slip(word, other) and (len(names[a].words) > 1 or len(word) >= LONG_WORD):
                    yield Evidence(a, b, TYPO, "a slip of the pen")


def _vintages(names: Vocabulary) -> Iterator[Evidence]:
    """The same name with years close together, or with and without the only year: teachers guess years."""
    dated: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for name in names.values():
        rest, year = years(name.words)
        if year is not None:
            dated[key(rest)].append((year, name.key))
    for base, variants in dated.items():
        variants.sort()
        gaps = [(a, b) for (y, a), (z, b) in zip(variants, variants[1:], strict=False) if z - y <= VINTAGE_GAP]
        for a, b in gaps:
            yield Evidence(a, b, VINTAGE, "years close together")
        if base in names and len(gaps) == len(variants) - 1:
            yield Evidence(base, variants[0][1], VINTAGE, "with and without a year")


def _longer(names: Vocabulary) -> Iterator[tuple[Name, Name, Words, bool]]:
    """(longer name, shorter name, what is added, whether it is added before) for the longest shorter name each side."""
    for name in names.values():
        for before in (True, False):
            for cut in range(1, len(name.words)):
                rest, added = (name.words[cut:], name.words[:cut]) if before else (name.words[:-cut], name.words[-cut:])
                if key(rest) in names:
                    yield name, names[key(rest)], added, before
                    break


def _extended(names: Vocabulary) -> Iterator[Evidence]:
    """A name and the few longer ones that only add to it.

    Words before specify, as sex, age or place do: taken as the same thing if what they specify is complete, that is two
    words or more, and at most two names do so. Words after say what kind of thing it is: taken as the same thing if
    nothing else extends the name.
    """
    longer_ones: dict[tuple[str, bool], list[Name]] = defaultdict(list)
    for longer, shorter, before in _longer(names):
        longer_ones[shorter.key, before].append(longer)
    for (shorter, before), those in longer_ones.items():
        reliability = (BEFORE if len(names[shorter].words) > 1 else ()) if before else AFTER
        if len(those) <= len(reliability):
            for longer in those:
                if min(longer.images, names[shorter].images) < ATTESTED:
                    yield Evidence(shorter, longer.key, reliability[len(those) - 1], "one only adds to the other")


def _longer(names: Vocabulary) -> Iterator[tuple[Name, Name, bool]]:
    """(longer name, shorter name, whether words are added before it) for the longest shorter name at each end."""
    for name in names.values():
        for before in (True, False):
            rests = (name.words[cut:] if before else name.words[:-cut] for cut in range(1, len(name.words)))
            shorter = next((key(rest) for rest in rests if key(rest) in names), None)
            if shorter:
                yield name, names[shorter], before


def _dispensable(names: Vocabulary) -> Iterator[Evidence]:
    """Names equal up to words that this vocabulary mostly uses beside the same name without them.

    What stands before a single word is no proof: the one word is often the kind of all ("toy poodle", "poodle").
    """
    total, idle = Counter(), Counter()
    for name in names.values():
        for side, rest in ((0, name.words[1:]), (-1, name.words[:-1])):
            if len(rest) > 1 or (rest and side):
                total[side, name.words[side]] += 1
                idle[side, name.words[side]] += key(rest) in names
    spare = {place for place, n in idle.items() if n >= 2 and 2 * n >= total[place]}
    cores: dict[str, list[str]] = defaultdict(list)
    for name in names.values():
        left = name.words
        while len(left) > 1 and ((0, left[0]) in spare or (-1, left[-1]) in spare):
            left = left[1:] if (0, left[0]) in spare else left[:-1]
        cores[key(left)].append(name.key)
    for keys in cores.values():
        head = min(keys, key=lambda k: (-names[k].images, len(names[k].words), k))
        for other in keys:
            if names[other].images < ATTESTED:
                yield Evidence(head, other, DISPENSABLE, "equal up to words used with and without effect")


def _brackets(names: Vocabulary) -> Iterator[Evidence]:
    """A name with another in brackets is each of the two, unless the same is said in brackets of several names."""
    parts = {name.key: split for name in names.values() if (split := aside(name.text))}
    used = Counter(key(words(inner)) for _, inner in parts.values())
    for whole, split in parts.items():
        outer, inner = (key(words(part)) for part in split)
        if outer in names:
            yield Evidence(whole, outer, ALIAS, "with and without what is in brackets")
        if inner in names and used[inner] == 1:
            yield Evidence(whole, inner, ALIAS, "the other name in brackets")


_LATIN = re.compile(r"[(*_]([A-Z][a-z]{2,} [a-z]{3,})(?: [a-z]{3,})?[*_,;)]")
_BINOMIAL = re.compile(r"([A-Z][a-z]*(?:us|a|um|is|as|es|os|on|o|er|[aeioy]x))"
                       r" ([A-Za-z][a-z]*(?:us|a|um|is|i|ae|ns|or|os|as|es|x|ale|are|ile|ense))")
_ALSO = re.compile(r"(?:also|otherwise|formerly|sometimes|commonly) (?:known as|called|named) (?:the |an? )?")
_BREAK = re.compile(r"[.:;!?\n]\s|[()]")  # a name does not reach across these
_REACH = 60  # characters beside a Latin name within which the common one is looked for


def _written(names: Vocabulary, answers: Sequence[Answer]) -> Iterator[Evidence]:
    """Names beside which the teacher mostly wrote the same two-word Latin name, or that are that name."""
    latin: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        own, said = key(words(answer.name)), answer.response
        latin[own].update({key(words(m[1])) for m in _LATIN.finditer(said) if own in _beside(said, m)})
    under: dict[str, set[str]] = defaultdict(set)
    for name, counts in latin.items():
        best = min(counts, key=lambda b: (-counts[b], b), default="")
        if 2 * counts[best] > names[name].images:
            under[best].add(name)
    yield from _scientific(names, under)


def _listed(names: Vocabulary, answers: Sequence[Answer]) -> Iterator[Evidence]:
    """Names to whose images the teacher also gave the same Latin name as a further label."""
    under: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        for label in answer.others:
            if _is_latin(label, answer.response):
                under[key(words(label))].add(key(words(answer.name)))
    yield from _scientific(names, under)


def _scientific(names: Vocabulary, under: dict[str, set[str]]) -> Iterator[Evidence]:
    for latin, keys in under.items():
        frequent = [k for k in keys if names[k].images >= ATTESTED]
        if len(keys) <= MOST_PER_SCIENTIFIC and len(frequent) <= MOST_FREQUENT:
            yield from _chain(keys | ({latin} & names.keys()), SCIENTIFIC, "one scientific name")


def _is_latin(label: str, response: str) -> bool:
    """Whether a label is a two-word Latin name, by its endings and by how it is written here or in the response."""
    found = _BINOMIAL.fullmatch(label.strip())
    return found is not None and (found[2].islower() or f"{found[1]} {found[2].lower()}" in response)


def _said(names: Vocabulary, answers: Sequence[Answer]) -> Iterator[Evidence]:
    """Two names of which the teacher wrote that one is also known as the other."""
    for response in (answer.response for answer in answers):
        for match in _ALSO.finditer(response):
            left = next((k for k in _before(response, match.start()) if k in names), None)
            right = next((k for k in _after(response, match.end()) if k in names), None)
            if left and right:
                yield Evidence(*sorted((left, right)), ALIAS, "said to be also known as")


def _beside(text: str, match: re.Match[str]) -> list[str]:
    """Keys of the names that may stand before "(Genus species)", or in brackets after "*Genus species*"."""
    if text[match.end() - 1:match.end() + 4].lstrip("*_ ").startswith("("):
        return _after(text, text.index("(", match.end() - 1) + 1)
    return _before(text, match.start())


def _before(text: str, end: int) -> list[str]:
    """Keys of the last words before a place in a text, longest first."""
    said = words(_BREAK.split(text[max(0, end - _REACH):end].rstrip(" (,"))[-1])
    return [key(said[i:]) for i in range(len(said))]


def _after(text: str, start: int) -> list[str]:
    """Keys of the first words after a place in a text, longest first."""
    said = words(_BREAK.split(text[start:start + _REACH])[0])
    return [key(said[:i]) for i in range(len(said), 0, -1)]
