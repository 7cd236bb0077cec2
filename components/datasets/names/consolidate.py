"""Merging names that mean the same: the most reliable evidence first, until the risk that is accepted is used up."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from components.datasets.names import evidence
from components.datasets.names.evidence import Answer
from components.datasets.names.spelling import key, words

RISK = 0.01  # of all images
LEAST_TRUST = 0.7  # of a chain of evidence from one name to another
DOUBT = 0.25  # that a rare name is of another thing and not another wording, where all other names are in use again


@dataclass(frozen=True, slots=True)
class Merge:
    """Why two names became one: `name` gave way to `into`; `images` is how many images it named."""

    name: str
    into: str
    images: int
    reliability: float
    because: str


@dataclass(frozen=True, slots=True)
class Consolidation:
    """One name an image, in the order given; for every name what was merged into it; the merges with reasons."""

    names: tuple[str, ...]
    merged_from: dict[str, tuple[str, ...]]
    merges: tuple[Merge, ...]


def consolidate(answers: Sequence[Answer], *, risk: float = RISK) -> Consolidation:
    """Merges the names of images that mean the same.

    A merge with reliability p (of a chain of evidence: the product) puts 1 - p (1 - d) of the images of its rarer side
    under a wrong name, in expectation: d is the doubt that the teacher meant the right thing at all, less where it uses
    hardly any name twice, as such teachers rather word than see things differently. Evidence is used from the most
    reliable to the least, while these images add up to no more than `risk` (a share of all). The result does not
    depend on the order of the images.
    """
    given = [answer.name for answer in answers]
    names = evidence.vocabulary(given)
    found = evidence.find(names, answers)
    groups, left, merges = _Groups(names), risk * len(given), []
    again = 1 - sum(name.images == 1 for name in names.values()) / max(1, len(given))
    for reason in found:
        (a, trust_a), (b, trust_b) = groups.of(reason.a), groups.of(reason.b)
        trust = trust_a * reason.reliability * trust_b
        cost = (1 - trust * (1 - DOUBT * again)) * min(groups.images[a], groups.images[b])
        if a == b or trust < LEAST_TRUST or cost > left:
            continue
        left -= cost
        into, other = sorted((a, b), key=groups.rank)
        merges.append(Merge(names[other].text, names[into].text, groups.images[other], round(trust, 3), reason.because))
        groups.join(into, other, trust)
    final = {each: names[groups.of(each)[0]].text for each in names}
    out = tuple(final[key(words(text))] for text in given)
    members = defaultdict(set)
    for text, name in zip(given, out, strict=True):
        members[name].add(text)
    return Consolidation(out, {n: tuple(sorted(of - {n})) for n, of in members.items()}, tuple(merges))


class _Groups:
    """Names that are one by now; a group is known by its most used name, and trusted less with every link to it."""

    def __init__(self, names: evidence.Vocabulary):
        self.names = names
        self.parent = {each: (each, 1.0) for each in names}
        self.images = {each: name.images for each, name in names.items()}

    def of(self, each: str) -> tuple[str, float]:
        """The key of the group's name, and how far this member may be trusted to mean that name."""
        trust = 1.0
        while self.parent[each][0] != each:
            each, link = self.parent[each]
            trust *= link
        return each, trust

    def rank(self, each: str) -> tuple[int, int, str]:
        """Least first: the name most used by itself, then the shortest, then the alphabet."""
        name = self.names[each]
        return -name.images, len(name.words), name.text

    def join(self, into: str, other: str, trust: float) -> None:
        self.parent[other] = into, trust
        self.images[into] += self.images[other]
