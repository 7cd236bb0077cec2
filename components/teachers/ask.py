"""Questions to answers, each paid for once: looks in the cache, asks only what is missing, keeps what arrives."""

import dataclasses
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from components.base.errors import PipelineError
from components.teachers.budget import Budget
from components.teachers.cache import AnswerCache, Entry, answer_key
from components.teachers.ledger import Expectation
from components.teachers.prices import Price, Spend
from components.teachers.protocol import Answer, Question, Teacher, View

Item = tuple[str, Callable[[], np.ndarray], Sequence[Question]]  # sample id (the image's sha256), loader, questions
Missing = dict[bytes, tuple[View, Question]]

WINDOW = 2048  # questions looked up, and given to the teacher, together
DECODED = 64 * 2**20  # bytes of decoded images that are kept for the next question about them


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays: the `run` and its `dataset`, at which `price`, and what is assumed of questions never asked."""

    run: str
    dataset: str = ""
    price: Price = field(default_factory=Price)
    spend: Spend = field(default_factory=Spend)


@dataclass(frozen=True, slots=True)
class AskCounts:
    """So far: samples done, questions asked, found in the cache and failed, seconds of waiting, and the cost."""

    samples: int = 0
    asked: int = 0
    cached: int = 0
    failed: int = 0
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    dollars: float = 0.0

    def __add__(self, other: "AskCounts") -> "AskCounts":
        return AskCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))


def ask(teacher: Teacher, cache: AnswerCache, items: Iterable[Item], account: Account, *, window: int = WINDOW,
        progress: Callable[[AskCounts], None] | None = None) -> Iterator[tuple[str, list[Entry]]]:
    """Yields (sample id, answers in the order of its questions) in the order of `items`.

    An answer is in the cache as soon as it arrives, so a kill loses only what is in flight. One that failed
    (`Answer.failure`) is yielded and not cached. About `window` questions are held at a time, whatever the number of
    items; an image is decoded only where an answer is missing. `progress` is called with the counts of this call.
    Raises PipelineError when the budget of the run is spent, or the teacher answers out of number.
    """
    counts, asker = AskCounts(), _Asker(teacher, cache, account)
    for group in _groups(items, window):
        keys = [[answer_key(sample, question, teacher.identity, teacher.decoding) for question in questions]
                for sample, _, questions in group]
        known = cache.get_many(key for row in keys for key in row)
        missing = asker.missing(group, keys, known)
        counts += AskCounts(cached=sum(map(len, keys)) - len(missing))
        waiting = [{key for key in row if key in missing} for row in keys]
        owners: dict[bytes, list[int]] = {}
        for i, row in enumerate(waiting):
            for key in row:
                owners.setdefault(key, []).append(i)
        counts += AskCounts(samples=sum(not row for row in waiting))
        for key, entry, cost in asker.answers(missing):
            known[key] = entry
            for i in owners[key]:
                waiting[i].discard(key)
            counts += dataclasses.replace(cost, samples=sum(not waiting[i] for i in owners[key]))
            if progress:
                progress(counts)
        if progress:
            progress(counts)
        for (sample, _, _), row in zip(group, keys, strict=True):
            yield sample, [known[key] for key in row]


class _Asker:
    """A teacher that is asked on an account, within the budget of its run."""

    def __init__(self, teacher: Teacher, cache: AnswerCache, account: Account):
        self.teacher, self.cache, self.account = teacher, cache, account
        self.budget, self.pictures = Budget(cache, account.run), _Pictures()

    def missing(self, group: Sequence[Item], keys: Sequence[Sequence[bytes]], known: Mapping[bytes, Entry]) -> Missing:
        """What is to be asked, once each."""
        missing: Missing = {}
        for (sample, load, questions), row in zip(group, keys, strict=True):
            view = View(sample, partial(self.pictures.get, sample, load))
            missing |= {key: (view, question) for key, question in zip(row, questions, strict=True) if key not in known}
        return missing

    def answers(self, missing: Missing) -> Iterator[tuple[bytes, Entry, AskCounts]]:
        """(key, answer, what it cost) as they arrive, each cached before it is yielded."""
        limited = bool(missing) and self.budget.limited
        expected = Expectation(self.cache, self.teacher.identity, self.account.spend,
                               self.account.price) if limited else None
        while missing:
            costs = [expected.of(question).dollars for _, question in missing.values()] if expected else []
            allowed = self.budget.take(costs) if expected else len(missing)
            part = dict(list(missing.items())[:allowed])
            allowance = sum(costs[:allowed]) if expected else float("inf")
            arrived, spent = 0, 0.0
            try:
                for key, entry, cost in self._stream(part):
                    arrived, spent = arrived + 1, spent + cost.dollars
                    del missing[key]
                    yield key, entry, cost
                    if spent > allowance and missing:  # dearer than expected: ask for a new allowance
                        break
            finally:
                if expected:
                    self.budget.settle(arrived - allowed, spent - allowance)

    def _stream(self, part: Missing) -> Iterator[tuple[bytes, Entry, AskCounts]]:
        keys, last = list(part), time.monotonic()
        views, questions = zip(*part.values(), strict=True)
        left = dict(enumerate(keys))
        stream = self.teacher.stream(views, questions)
        try:
            for position, answer in stream:
                key = left.pop(position, None)
                if key is None:
                    raise PipelineError(f"{self._name} answered question {position} of {len(keys)} twice, or unasked")
                now = time.monotonic()
                waited, last = now - last, now
                yield key, *self._paid(views[position].id, questions[position], answer, waited)
        finally:
            if hasattr(stream, "close"):  # what is in flight is called off
                stream.close()
        if left:
            raise PipelineError(f"{self._name} gave {len(keys) - len(left)} answers to {len(keys)} questions")

    def _paid(self, image: str, question: Question, answer: Answer, waited: float) -> tuple[Entry, AskCounts]:
        account = self.account
        dollars = account.price.of(dataclasses.replace(answer, seconds=waited))  # an hour of many at once is one hour
        if not answer.seconds:  # the teacher does not say: what was waited for it
            answer = dataclasses.replace(answer, seconds=waited)
        entry = Entry(image, question, self.teacher.identity, self.teacher.decoding, answer, account.run,
                      int(time.time()))
        self.cache.pay(entry, dataset=account.dataset, dollars=dollars)
        return entry, AskCounts(0, 1, 0, bool(answer.failure), waited, answer.tokens_in, answer.tokens_out, dollars)

    @property
    def _name(self) -> str:
        return f"the teacher '{self.teacher.identity.name}'"


class _Pictures:
    """The latest decoded images: questions about one image come side by side, from several threads perhaps."""

    def __init__(self):
        self.lock, self.kept, self.bytes = threading.Lock(), OrderedDict(), 0

    def get(self, sample: str, load: Callable[[], np.ndarray]) -> np.ndarray:
        with self.lock:
            if sample in self.kept:
                self.kept.move_to_end(sample)
                return self.kept[sample]
        pixels = load()
        with self.lock:
            if sample not in self.kept:
                self.kept[sample], self.bytes = pixels, self.bytes + pixels.nbytes
            while self.bytes > DECODED and len(self.kept) > 1:
                self.bytes -= self.kept.popitem(last=False)[1].nbytes
        return pixels


def _groups(items: Iterable[Item], window: int) -> Iterator[list[Item]]:
    """Whole items, gathered until they hold `window` questions."""
    group, size = [], 0
    for item in items:
        group.append(item)
        size += max(1, len(item[2]))
        if size >= window:
            yield group
            group, size = [], 0
    if group:
        yield group
