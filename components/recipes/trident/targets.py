"""What the teacher said becomes the words of training: auxiliary words for each pair, and a state for every word."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from components.base.artifacts import write_json
from components.base.errors import PipelineError
from components.datasets.pairs.wording import spoken, words_of
from components.datasets.store import Dataset
from components.recipes.protocol import Stage
from components.recipes.trident.config import Align
from components.recipes.trident.looks import same
from components.teachers.protocol import Teacher

POOLING = "mean over a word's last hidden states, unit length, as the teacher's `words` gives them"


def align(stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
    """See `components.recipes.protocol.Recipe.align`: writes words.json and states.npy, float32 [W, H].

    Words of the vocabulary that serve as auxiliary words of other attributes are listed under "of_vocabulary", and each
    pair's adjectives that were its own attribute have been left out before (`looks.accept`).
    """
    dataset, settings = Dataset(stage.dataset), stage.config.align
    attributes, objects = words_of(dataset.space)
    said, told = _said(stage.rationales, dataset)
    of_attribute = {spoken(a): a for a in attributes}  # "faux fur": "Faux.Fur"
    also = {label: {of_attribute.get(word, word): weight for word, weight in choose(counts, settings).items()}
            for label, counts in sorted(said.items())}
    leaks = [f"'{word}' of '{label}'" for label, words in also.items() for word in words
             if same(word, dataset.space["pairs"][label][0])]
    if leaks:
        raise PipelineError(f"auxiliary words that are the attribute itself: {', '.join(leaks[:5])}")
    used = Counter(word for words in also.values() for word in words)
    auxiliary = sorted(set(used) - set(attributes))
    everything = [*attributes, *objects, *auxiliary]
    states = teacher.words([settings.prompt.format(word=spoken(word)) for word in everything]).astype(np.float32)
    np.save(out / "states.npy", states)
    write_json(out / "words.json", {
        "auxiliary": auxiliary, "also": also, "of_vocabulary": sorted(set(used) & set(attributes)), "told": told,
        "states": {"eyes": teacher.eyes, "prompt": settings.prompt, "pooling": POOLING, "width": states.shape[1]}})
    return {"auxiliary_words": float(len(auxiliary)), "pairs_with_auxiliary": float(len(also)),
            "of_vocabulary": float(len(set(used) & set(attributes))), "told": float(told)}


def _said(rationales: Path, dataset: Dataset) -> tuple[dict[str, Counter[str]], int]:
    """{pair: how often each adjective was said of its images}, and how many were the attribute itself."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    told = 0
    with open(rationales / "rationales.jsonl", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            said[dataset.labels[record["sample"]]].update(record["content"]["look"])
            told += len(record["content"]["told"])
    return said, told


def choose(counts: Counter[str], settings: Align) -> dict[str, float]:
    """A pair's auxiliary words, most frequent first (of equals the first by name), with weights that sum to 1."""
    best: list[tuple[str, Any]] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:settings.auxiliary]
    whole = sum(n for _, n in best)
    return {word: (n / whole if settings.weighted else 1 / len(best)) for word, n in best}
