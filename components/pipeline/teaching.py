"""The teacher of a run and its judge, who pays for them, and the samples in the order in which they are asked about."""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from components import teachers
from components.datasets.images import load_image
from components.datasets.splits import Splits
from components.datasets.store import GROUP_ROWS, Dataset
from components.encoders.cache import FeatureCache
from components.pipeline.plan import Plan
from components.teachers.ask import Account
from components.teachers.cache import AnswerCache
from components.teachers.judge import Judge
from components.teachers.metered import Metered
from components.teachers.prices import Price, Spend

_here = threading.local()


def teacher(name: str, features: str) -> Any:
    """The teacher, loaded once: one behind a server for all threads together, any other for each thread anew."""
    if paid(name):
        return _load(name, Path(features))
    if not hasattr(_here, "load"):
        _here.load = lru_cache(maxsize=2)(_load.__wrapped__)
    return _here.load(name, Path(features))


@lru_cache(maxsize=2)
def _load(name: str, features: Path) -> Any:
    return teachers.get(name, features=FeatureCache(features))


def paid(name: str) -> bool:
    """Whether a teacher is asked over the network, request by request."""
    return teachers.parse(name).backend == "openai"


def metered(plan: Plan, run: str, data: Dataset, features: str) -> Any:
    """The teacher as a stage may use it beyond rationales: where it is paid, whatever it scores is on the account."""
    asked = teacher(plan.teacher, features)
    if not paid(plan.teacher):
        return asked
    return Metered(asked, AnswerCache(), account(plan.config().spend, plan.teacher, run, data))


def judge_name(plan: Plan) -> str:
    """The judge's name as given to --teacher; "" where nobody judges."""
    wanted = plan.config().ask.judge
    return plan.teacher if wanted == "same" else wanted


def account(spend: Spend, name: str, run: str, data: Dataset) -> Account:
    """Who pays for the teacher `name`; one without a known price costs nothing that could be counted."""
    return Account(run, f"{data.name}@{data.version[:12]}", spend.price(name) or Price(), spend)


def judge(plan: Plan, cache: AnswerCache, run: str, data: Dataset, splits: Splits, features: str) -> Judge | None:
    """The judge of a run, who forbids the names of all held-out verbs; None where nobody judges."""
    name = judge_name(plan)
    if not name:
        return None
    return Judge(teacher(name, features), cache, account(plan.config().spend, name, run, data), splits.held_out())


def identity(asked: Any) -> dict[str, Any]:
    """Who answers and how, as plain JSON."""
    who = asked.identity
    return {"backend": who.backend, "name": who.name, "revision": who.revision, "decoding": dict(asked.decoding)}


def training_ids(data: Dataset, splits: Splits) -> list[str]:
    """The training images in the order in which they lie in the dataset, so that a shard reads few of its blocks."""
    wanted = set(splits.train)
    return [i for i in data.ids if i in wanted]


def loaders(data: Dataset, ids: Sequence[str]) -> dict[str, Callable[[], np.ndarray]]:
    """A loader of pixels for each sample, which reads a block of encoded images at a time and keeps the last few."""
    blocks = [ids[start:start + GROUP_ROWS] for start in range(0, len(ids), GROUP_ROWS)]
    block = lru_cache(maxsize=3)(lambda number: {s.id: s for s in data.samples(blocks[number])})

    def load(number: int, name: str) -> np.ndarray:
        sample = block(number)[name]
        return load_image(sample.image, sample.name)

    return {name: partial(load, number, name) for number, names in enumerate(blocks) for name in names}
