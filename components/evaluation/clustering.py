"""How well names found without a vocabulary agree with classes: by assignment, by majority, by information, by meaning.

Cluster accuracy, semantic accuracy, NMI and ARI are the measures of FineR (arXiv 2401.13837) and of vocabulary-free
classification since. Legend: N images, V distinct names, K classes. All scores lie in 0..1 (ARI in -0.5..1, semantic
accuracy in -1..1).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from components.base.artifacts import digest
from components.base.errors import UserError
from components.datasets.names.spelling import normalise
from components.evaluation.bootstrap import Interval, paired

Encode = Callable[[Sequence[str]], np.ndarray]
NORMALISATION = "lower case, all but a-z0-9 to one space"


def assignment(names: Sequence[Hashable], classes: Sequence[Hashable]) -> dict[str, str]:
    """{name: its class}, one to one so that most images are right (Hungarian algorithm, Kuhn 1955); for some names
    there may be no class."""
    table, *_ = _table(names, classes)
    distinct, kinds = (np.unique(np.asarray(of, str)) for of in (names, classes))
    rows, columns = linear_sum_assignment(table, maximize=True)
    return {str(distinct[r]): str(kinds[c]) for r, c in zip(rows, columns, strict=True)}


def right(names: Sequence[Hashable], classes: Sequence[Hashable]) -> np.ndarray:
    """[N] bool, images whose name is the one assigned to their class.

    A second name for a class is wrong throughout, and which words a name has does not matter.
    """
    of = assignment(names, classes)
    return np.array([of.get(a) == b for a, b in zip(map(str, names), map(str, classes), strict=True)])


def cluster_accuracy(names: Sequence[Hashable], classes: Sequence[Hashable], *, per_class: bool = False) -> float:
    """Share of images that are `right`; `per_class` averages over classes instead of images (CaSED, 2306.00917)."""
    hits = right(names, classes)
    if not per_class:
        return float(hits.mean())
    _, code, count = np.unique(np.asarray(classes, str), return_inverse=True, return_counts=True)
    return float((np.bincount(code, hits) / count).mean())


def purity(names: Sequence[Hashable], classes: Sequence[Hashable]) -> float:
    """Share of images that are of the class most frequent under their name; 1 where every image has its own name."""
    table, *_ = _table(names, classes)
    return float(table.max(1).sum() / table.sum())


def nmi(names: Sequence[Hashable], classes: Sequence[Hashable]) -> float:
    """Mutual information of names and classes over the mean of their entropies."""
    _, name, each = _table(names, classes)
    return float(normalized_mutual_info_score(each, name))


def ari(names: Sequence[Hashable], classes: Sequence[Hashable]) -> float:
    """The share of pairs of images on which names and classes agree, corrected for chance (Hubert & Arabie 1985)."""
    _, name, each = _table(names, classes)
    return float(adjusted_rand_score(each, name))


def semantic(names: Sequence[str], truth: Sequence[str], encode: Encode) -> np.ndarray:
    """[N] cosine of each name with the true one, as a sentence encoder sees them (`encode`: N texts to unit [N, E]).

    Raw names, no prompt. The mean over images is the semantic accuracy: it rewards near misses, and depends on the
    encoder.
    """
    vectors, row = _vectors([*names, *truth], encode)
    return np.einsum("ne,ne->n", vectors[row[:len(names)]], vectors[row[len(names):]])


def word_overlap(names: Sequence[str], truth: Sequence[str]) -> np.ndarray:
    """[N] shared words over all words of a name and the true one (the semantic IoU of CaSED, 2306.00917)."""
    pairs = [(set(normalise(a).split()), set(normalise(b).split())) for a, b in zip(names, truth, strict=True)]
    return np.array([len(a & b) / max(1, len(a | b)) for a, b in pairs])


def break_even(fixed: float, teacher: float, student: float = 0.0) -> int | None:
    """The number of images from which on the student is cheaper than asking the teacher each time.

    `fixed` is what was paid once (labels, training), `teacher` and `student` are costs per image in the same unit.
    None where the student never becomes cheaper. Raises ValueError for negative or non-finite costs.
    """
    if not all(math.isfinite(c) and c >= 0 for c in (fixed, teacher, student)):
        raise ValueError(f"costs must be finite and not negative: {fixed}, {teacher}, {student}")
    return math.floor(fixed / (teacher - student)) + 1 if teacher > student else None


@dataclass(frozen=True, slots=True)
class NameScores:
    """Names against classes: `numbers` over all images, `per_image` {metric: [N]} for intervals, `protocol` what two
    results must share to be compared: the images, the rule by which names are compared, the sentence encoder."""

    numbers: dict[str, float]
    per_image: dict[str, np.ndarray]
    protocol: dict[str, str]

    def better(self, other: "NameScores", metric: str = "cluster_accuracy", **settings: float) -> Interval:
        """The paired difference to `other` with its bootstrap interval (settings as in `bootstrap.paired`).

        Raises UserError where the two were not measured in the same way or on the same images.
        """
        for part, value in self.protocol.items():
            if other.protocol[part] != value:
                raise UserError(f"results differ in {part}: {value} and {other.protocol[part]}", where="comparison",
                                mend="score both on the same images, in the same way")
        return paired(self.per_image[metric], other.per_image[metric], **settings)


def score(images: Sequence[str], names: Sequence[str], classes: Sequence[str], *, encode: Encode | None = None,
          encoder: str = "none") -> NameScores:
    """All measures of `names` against the true class names of `images` (each [N]).

    With `encode`, called `encoder` in the protocol, semantic accuracy too. Raises ValueError for lengths that differ.
    """
    if not len(images) == len(names) == len(classes) or not len(images):
        raise ValueError(f"{len(images)} images, {len(names)} names, {len(classes)} classes")
    compared = [normalise(n) for n in names]
    per_image = {"cluster_accuracy": right(compared, classes).astype(float),
                 "word_overlap": word_overlap(names, classes)}
    if encode:
        per_image["semantic_accuracy"] = semantic(names, classes, encode)
    numbers = {name: float(values.mean()) for name, values in per_image.items()} | {
        "cluster_accuracy_per_class": cluster_accuracy(compared, classes, per_class=True),
        "purity": purity(compared, classes), "nmi": nmi(compared, classes), "ari": ari(compared, classes),
        "names": len(set(compared))}
    protocol = {"images": digest(list(zip(images, classes, strict=True)))[:12], "names": NORMALISATION,
                "sentence encoder": encoder}
    return NameScores(numbers, per_image, protocol)


def label_quality(names: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """What is reported of a teacher's names before anything is learnt from them, against true class names [N].

    `exact_name`: share of images with the true name; `true_name_in_vocabulary`: of classes whose name occurs at all;
    `all_same`, `all_different`: of classes whose images share one name, have no name in common.
    """
    compared, truth = [normalise(n) for n in names], [normalise(c) for c in classes]
    by_class: dict[str, list[str]] = {}
    for name, each in zip(compared, truth, strict=True):
        by_class.setdefault(each, []).append(name)
    vocabulary = set(compared)
    return {
        "images": len(names), "classes": len(by_class), "distinct_names": len(vocabulary),
        "hungarian_correct": int(right(compared, truth).sum()), "cluster_accuracy": cluster_accuracy(compared, truth),
        "purity": purity(compared, truth),
        "exact_name": float(np.mean([a == b for a, b in zip(compared, truth, strict=True)])),
        "true_name_in_vocabulary": float(np.mean([c in vocabulary for c in by_class])),
        "all_same": float(np.mean([len(set(n)) == 1 for n in by_class.values()])),
        "all_different": float(np.mean([len(set(n)) == len(n) for n in by_class.values()])),
    }


def _table(names: Sequence[Hashable], classes: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts [V, K] of images, and the codes [N] of their names and classes. Raises ValueError for no images."""
    if len(names) != len(classes) or not len(names):
        raise ValueError(f"{len(names)} names for {len(classes)} classes")
    _, name = np.unique(np.asarray(names, str), return_inverse=True)
    _, each = np.unique(np.asarray(classes, str), return_inverse=True)
    table = np.zeros((name.max() + 1, each.max() + 1), np.int64)
    np.add.at(table, (name, each), 1)
    return table, name, each


def _vectors(texts: Sequence[str], encode: Encode) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of distinct texts, and the row of each text among them."""
    distinct, row = np.unique(np.asarray(texts, str), return_inverse=True)
    return encode(distinct.tolist()), row
