"""Questions to answers, each paid for once: looks in the cache, asks the teacher only what is missing, in batches."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.base.errors import PipelineError
from components.teachers.cache import AnswerCache, answer_key
from components.teachers.protocol import Answer, Question, Teacher, View

Item = tuple[str, Callable[[], np.ndarray], Sequence[Question]]  # sample id (the image's sha256), loader, questions


@dataclass(frozen=True, slots=True)
class AskCounts:
    """So far: samples done, questions asked of the teacher, questions found in the cache, seconds in the teacher."""

    samples: int = 0
    asked: int = 0
    cached: int = 0
    seconds: float = 0.0


def ask(teacher: Teacher, cache: AnswerCache, items: Iterable[Item], *, run_id: str, batch: int = 64,
        decoding: Mapping[str, Any] | None = None,
        progress: Callable[[AskCounts], None] | None = None) -> Iterator[tuple[str, list[Answer]]]:
    """Yields (sample id, answers in the order of its questions) in the order of `items`.

    A batch is about `batch` questions; its answers are in the cache before they are yielded, so a kill loses one batch
    at most. An image is decoded only where an answer is missing, and then once. `decoding` are the teacher's decoding
    parameters, part of the key. `progress` is called with the running counts after each batch.
    Raises PipelineError when the teacher answers out of number.
    """
    counts = AskCounts()
    for group in _groups(items, batch):
        keys = [[answer_key(sample, question, teacher.identity, decoding) for question in questions]
                for sample, _, questions in group]
        known = cache.get_many(key for row in keys for key in row)
        missing, seconds = _missing(group, keys, known), 0.0
        for start in range(0, len(missing), batch):
            part = missing[start:start + batch]
            began = time.monotonic()
            answers = teacher.answer([view for _, view, _ in part], [question for _, _, question in part])
            seconds += time.monotonic() - began
            if len(answers) != len(part):
                name = teacher.identity.name
                raise PipelineError(f"teacher '{name}' gave {len(answers)} answers to {len(part)} questions")
            fresh = {key: answer for (key, _, _), answer in zip(part, answers, strict=True)}
            cache.put_many(fresh, run_id)
            known |= fresh
        total = sum(map(len, keys))
        counts = AskCounts(counts.samples + len(group), counts.asked + len(missing),
                           counts.cached + total - len(missing), counts.seconds + seconds)
        if progress:
            progress(counts)
        for (sample, _, _), row in zip(group, keys, strict=True):
            yield sample, [known[key] for key in row]


def _groups(items: Iterable[Item], batch: int) -> Iterator[list[Item]]:
    """Whole items, gathered until they hold `batch` questions."""
    group, size = [], 0
    for item in items:
        group.append(item)
        size += len(item[2])
        if size >= batch or len(group) >= batch:
            yield group
            group, size = [], 0
    if group:
        yield group


def _missing(group: Sequence[Item], keys: Sequence[Sequence[str]],
             known: Mapping[str, Answer]) -> list[tuple[str, View, Question]]:
    """(key, view, question) of each answer to be asked for, once each; an image is decoded at most once."""
    missing: dict[str, tuple[str, View, Question]] = {}
    for (sample, load, questions), row in zip(group, keys, strict=True):
        view = View(sample, _once(load))
        for key, question in zip(row, questions, strict=True):
            if key not in known and key not in missing:
                missing[key] = (key, view, question)
    return list(missing.values())


def _once(load: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    kept: list[np.ndarray] = []

    def loader() -> np.ndarray:
        if not kept:
            kept.append(load())
        return kept[0]

    return loader
