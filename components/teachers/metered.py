"""A teacher whose every paid answer goes through the cache, the ledger and the budget, its choices included."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.base.errors import PipelineError
from components.teachers import choice
from components.teachers.ask import Account, ask
from components.teachers.cache import AnswerCache
from components.teachers.protocol import Teacher, View


class Metered:
    """`teacher`, except that it scores by the question of `components.teachers.choice`, asked on an account.

    For teachers that are paid by the request: their own `score` would spend without being counted.
    """

    paid = True

    def __init__(self, teacher: Teacher, cache: AnswerCache, account: Account):
        self._teacher, self._cache, self._account = teacher, cache, account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """See `components.teachers.protocol.Teacher.score`. Raises PipelineError where an image's question fails."""
        asked = [choice.question(candidates)]
        rows = []
        for _, (entry,) in ask(self._teacher, self._cache, ((v.id, v.load, asked) for v in images), self._account):
            if entry.answer.failure:
                raise PipelineError(f"teacher '{self.identity.name}' chose no text of {len(candidates)} about image "
                                    f"{entry.image}: {entry.answer.failure}")
            rows.append(choice.read(entry.answer.text, len(candidates)))
        return np.stack(rows)
