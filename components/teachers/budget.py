"""What a run may spend: allowances taken before asking, so that all threads and processes of a run keep one budget.

The limits of a run and what it has taken lie in one small file beside the answers. Whoever asks takes an allowance for
as many questions as fit, and gives back afterwards what was not used. What a killed worker had taken stays taken until
its run is started again: it may have been billed.
"""

from collections.abc import Sequence
from itertools import accumulate

from components.base.errors import BudgetSpent
from components.teachers.cache import AnswerCache
from components.teachers.ledger import total
from components.teachers.shards import Shards

LAYOUT = """CREATE TABLE budgets (run TEXT PRIMARY KEY, max_requests INTEGER, max_dollars REAL,
    requests INTEGER NOT NULL, dollars REAL NOT NULL) WITHOUT ROWID"""
ROW = "SELECT max_requests, max_dollars, requests, dollars FROM budgets WHERE run = ?"


class Budget:
    """The budget of the run `run`, kept beside `cache`; without limits, everything may be asked."""

    def __init__(self, cache: AnswerCache, run: str):
        self.cache, self.run = cache, run
        self.shards = Shards(cache.folder, ("budgets.sqlite",), LAYOUT, 1)

    def limit(self, requests: int | None, dollars: float | None) -> None:
        """Sets the limits of the whole run, to be called as it starts; what it spent before counts."""
        spent = total(self.cache, self.run)
        with self.shards.writing(0) as (db, _):
            db.execute("DELETE FROM budgets WHERE run = ?", (self.run,))
            if requests is not None or dollars is not None:
                db.execute("INSERT INTO budgets VALUES (?, ?, ?, ?, ?)",
                           (self.run, requests, dollars, spent.requests, spent.dollars))

    @property
    def limited(self) -> bool:
        with self.shards.reading(0) as (db, _):
            return db.execute(ROW, (self.run,)).fetchone() is not None

    def take(self, costs: Sequence[float]) -> int:
        """Takes the allowance for as many of the next questions as fit, of expected `costs` in dollars: how many.

        Raises BudgetSpent, saying what was reached, where not one fits.
        """
        if not self.limited:
            return len(costs)
        with self.shards.writing(0) as (db, _):
            max_requests, max_dollars, requests, dollars = db.execute(ROW, (self.run,)).fetchone()
            fit = len(costs) if max_requests is None else min(len(costs), max(0, max_requests - requests))
            if max_dollars is not None:
                fit = sum(dollars + cost <= max_dollars for cost in accumulate(costs[:fit]))
            if not fit:
                raise BudgetSpent(_reached(max_requests, max_dollars, requests, dollars, len(costs)))
            db.execute("UPDATE budgets SET requests = requests + ?, dollars = dollars + ? WHERE run = ?",
                       (fit, sum(costs[:fit]), self.run))
        return fit

    def settle(self, requests: int, dollars: float) -> None:
        """Corrects what was taken: by questions that were not asked (negative), and what answers really cost."""
        with self.shards.writing(0) as (db, _):
            db.execute("UPDATE budgets SET requests = requests + ?, dollars = dollars + ? WHERE run = ?",
                       (requests, dollars, self.run))


def _reached(max_requests: int | None, max_dollars: float | None, requests: int, dollars: float, left: int) -> str:
    limits = [f"{requests:,} of {max_requests:,} requests"] if max_requests is not None else []
    limits += [f"${dollars:.4f} of ${max_dollars:.4f}"] if max_dollars is not None else []
    return (f"the budget of this run is spent: {' and '.join(limits)}; what was answered is kept, at least {left:,} "
            "questions are open\n  to go on: the same command with a higher --max-requests or --max-cost")
