"""What was spent: requests, failures, tokens, seconds and dollars by run, dataset, teacher and kind of question.

Read from the counts that lie beside the answers and were committed with them, so that they agree after any kill. They
count what this state folder paid for: imported answers cost nothing here, and pruning forgets no cost.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from components.base.errors import UserError, nearest
from components.teachers.cache import AnswerCache
from components.teachers.prices import Price, Spend
from components.teachers.protocol import Answer, Identity, Question

BY = ("run", "dataset", "teacher", "kind")


@dataclass(frozen=True, slots=True)
class Spent:
    """A sum over answers; failed ones cost as well."""

    requests: int = 0
    failures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    dollars: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass(frozen=True, slots=True)
class Line:
    """What a run spent on one kind of question to one teacher about one dataset."""

    run: str
    dataset: str
    teacher: str
    kind: str
    spent: Spent


def lines(cache: AnswerCache, *, run: str = "") -> Iterator[Line]:
    """All lines of the ledger, or those of a run; one may come in several parts."""
    for number in range(len(cache.shards.files)):
        with cache.shards.reading(number) as (db, shared):
            for payer, source, kind, *spent in db.execute("SELECT * FROM spent"):
                who, of = shared.get(db, payer), shared.get(db, source)
                if who and of and (not run or who["is"]["run"] == run):
                    teacher = of["is"]["teacher"]
                    yield Line(who["is"]["run"], who["is"]["dataset"], f"{teacher['backend']}:{teacher['name']}", kind,
                               Spent(*spent))


def totals(cache: AnswerCache, by: str, *, run: str = "") -> dict[str, Spent]:
    """What was spent by each "run", "dataset", "teacher" or "kind", dearest first."""
    if by not in BY:
        raise UserError(f"cannot sum by '{by}'", where="--by", mend=nearest(by, BY) or f"one of {', '.join(BY)}")
    sums: dict[str, Spent] = defaultdict(Spent)
    for line in lines(cache, run=run):
        sums[getattr(line, by)] += line.spent
    return dict(sorted(sums.items(), key=lambda item: (-item[1].dollars, -item[1].requests, item[0])))


def total(cache: AnswerCache, run: str) -> Spent:
    return sum((line.spent for line in lines(cache, run=run)), Spent())


class Expectation:
    """What a question to a teacher will cost: the average of its kind so far, or what the settings assume."""

    def __init__(self, cache: AnswerCache, teacher: Identity, spend: Spend, price: Price):
        self.spend, self.price = spend, price
        self.known: dict[str, Spent] = defaultdict(Spent)
        for line in lines(cache):
            if line.teacher == f"{teacher.backend}:{teacher.name}":
                self.known[line.kind] += line.spent

    def of(self, question: Question) -> Spent:
        """One request with its expected tokens (rounded), seconds and dollars, at the price of today."""
        past = self.known.get(question.kind)
        if past is None:
            said = self.spend.assumed(question)
        else:
            said = Answer("", past.seconds / past.requests, *(round(n / past.requests)
                                                              for n in (past.tokens_in, past.tokens_out)))
        return Spent(1, 0, said.tokens_in, said.tokens_out, said.seconds, self.price.of(said))

    def basis(self, kind: str) -> str:
        """On what an expectation rests, in words."""
        past: Any = self.known.get(kind)
        return f"the average of {past.requests:,} answers" if past else (
            f"assumed: {self.spend.image_tokens} tokens an image, {self.spend.answer_tokens} an answer")
