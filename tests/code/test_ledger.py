"""The ledger and its budgets: what is counted, what is expected, and that a limit holds across processes."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from colour_teacher import COLOUR, COLOURS, WHO, ColourTeacher, Items, entry, image_of

from components.base.config import as_dict, from_dict, override
from components.base.errors import PipelineError, UserError
from components.teachers.ask import Account, ask
from components.teachers.budget import Budget
from components.teachers.cache import AnswerCache
from components.teachers.ledger import Expectation, Spent, total, totals
from components.teachers.metered import Metered
from components.teachers.prices import Price, Spend, require
from components.teachers.protocol import Answer, Identity, Question, View

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers")


@pytest.mark.parametrize(("price", "answer", "dollars"), [
    (Price(), Answer("a", 10, 10, 10), 0.0),
    (Price(tokens_in=2.0, tokens_out=8.0), Answer("a", 10, 1_000_000, 500_000), 6.0),
    (Price(request=0.25), Answer("", failure="refused"), 0.25),
    (Price(hour=3.6), Answer("a", 10.0), 0.01),
])
def test_a_price_is_per_million_tokens_request_and_hour(price, answer, dollars):
    assert price.of(answer) == pytest.approx(dollars)


def test_the_price_table_is_a_setting():
    @dataclasses.dataclass(frozen=True)
    class Config:
        spend: Spend = dataclasses.field(default_factory=Spend)

    table = 'spend.prices={"openai:small*": {tokens_in: 0.15, tokens_out: 0.6}, "openai:*": {tokens_in: 3}}'
    config = override(Config(), table)
    assert config.spend.price("openai:small@http://localhost/v1") == Price(0.15, 0.6)
    assert config.spend.price("openai:large") == Price(3.0)  # the first that fits
    assert config.spend.price("transformers:x") is None
    assert config.spend.price("embedded") == config.spend.price("recorded:a.jsonl") == Price()
    assert from_dict(Config, as_dict(config)) == config
    for wrong, says in (("spend.prices=3", "expected names"), ("spend.prices={a: 3}", "expected settings"),
                        ("spend.prices={a: {token_in: 3}}", "did you mean 'tokens_in'?"),
                        ("spend.prices={a: {tokens_in: many}}", "expected float")):
        with pytest.raises(UserError) as raised:
            override(Config(), wrong)
        assert says in str(raised.value)


def test_a_budget_in_dollars_needs_a_price():
    assert require(Price(1.0), "t") == Price(1.0)
    with pytest.raises(UserError, match=r"no price is known for the teacher 't'(.|\n)*spend.prices"):
        require(None, "t")


def test_totals_by_run_dataset_teacher_and_kind(cache):
    other = Identity("openai", "big", "2")
    for n in range(6):
        cache.pay(entry(n, run=f"run-{n % 2}", teacher=other if n < 2 else WHO, answer=Answer("a", 1.0, 10, 2)),
                  dataset=f"data-{n % 3}", dollars=0.5)
    assert totals(cache, "run") == {f"run-{n}": Spent(3, 0, 30, 6, 3.0, 1.5) for n in range(2)}
    assert list(totals(cache, "teacher").items())[0] == ("embedded:colours", Spent(4, 0, 40, 8, 4.0, 2.0))
    assert set(totals(cache, "dataset")) == {"data-0", "data-1", "data-2"}
    assert totals(cache, "kind") == {"colour": Spent(6, 0, 60, 12, 6.0, 3.0)}
    assert total(cache, "run-0") == Spent(3, 0, 30, 6, 3.0, 1.5) and total(cache, "other") == Spent()
    with pytest.raises(UserError, match="did you mean 'teacher'"):
        totals(cache, "teachers")


def test_imported_answers_cost_nothing(cache):
    cache.add([entry(1)])
    assert totals(cache, "run") == {}


def test_what_a_question_will_cost_is_the_average_of_its_kind_or_assumed(cache):
    price, spend = Price(tokens_in=1.0, tokens_out=10.0), Spend(image_tokens=100, answer_tokens=50, answer_seconds=3)
    fresh = Expectation(cache, WHO, spend, price)
    long = Question("colour", "x" * 400, "1")
    assert fresh.of(long) == Spent(1, 0, 200, 50, 3, pytest.approx(700e-6)) and "assumed" in fresh.basis("colour")
    for n, tokens in enumerate((10, 30)):
        cache.pay(entry(n, answer=Answer("a", 1.0, tokens, 4)))
    known = Expectation(cache, WHO, spend, price)
    assert known.of(long) == Spent(1, 0, 20, 4, 1.0, pytest.approx(60e-6)) and "2 answers" in known.basis("colour")
    assert known.of(dataclasses.replace(long, kind="other")) == fresh.of(long)
    assert Expectation(cache, Identity("a", "b", "c"), spend, price).of(long) == fresh.of(long)


def test_without_a_limit_everything_may_be_asked(cache):
    assert Budget(cache, "run").take([1e9] * 5) == 5
    assert not Budget(cache, "run").limited


def test_a_run_stops_at_its_requests_and_goes_on_with_more(cache):
    budget = Budget(cache, "run")
    budget.limit(7, None)
    for limit, had, calls in ((7, 0, [7]), (7, 7, []), (12, 7, [5]), (None, 12, [8])):
        teacher = ColourTeacher()
        budget.limit(limit, None)
        assert total(cache, "run").requests == had
        if limit is None:
            assert len(list(ask(teacher, cache, Items(range(10)), Account("run")))) == 10
        else:
            with pytest.raises(PipelineError, match=f"{limit} of {limit} requests(.|\n)*higher --max-requests"):
                list(ask(teacher, cache, Items(range(10)), Account("run")))
        assert teacher.calls == calls
    assert cache.stats().answers == 20


def test_another_run_has_a_budget_of_its_own(cache):
    Budget(cache, "one").limit(0, None)
    with pytest.raises(PipelineError):
        list(ask(ColourTeacher(), cache, Items([1]), Account("one")))
    assert len(list(ask(ColourTeacher(), cache, Items([1]), Account("two")))) == 1


def test_a_run_stops_at_its_dollars(cache):
    price = Price(tokens_in=100_000.0)  # 3 tokens: $0.30
    account = Account("run", price=price, spend=Spend(image_tokens=0, answer_tokens=0))
    Budget(cache, "run").limit(None, 1.0)
    question = dataclasses.replace(COLOUR, prompt="x" * 12)  # assumed to have 3 tokens, as the answer says
    with pytest.raises(PipelineError, match=r"\$0.9000 of \$1.0000"):
        list(ask(ColourTeacher(), cache, Items(range(10), (question,)), account))
    assert total(cache, "run").requests == 3 and total(cache, "run").dollars == pytest.approx(0.9)


def test_dearer_answers_than_expected_stop_the_run_at_once(cache):
    account = Account("run", price=Price(tokens_in=100_000.0), spend=Spend(image_tokens=0, answer_tokens=0))
    Budget(cache, "run").limit(None, 1.0)
    cheap = dataclasses.replace(COLOUR, prompt="xxxx")  # assumed: one token, $0.10; it will be three
    teacher = ColourTeacher()
    with pytest.raises(PipelineError, match="budget"):
        list(ask(teacher, cache, Items(range(50), (cheap,)), account))
    assert teacher.calls[0] == 10  # all that it was allowed to expect
    assert total(cache, "run").dollars <= 1.0 + 0.3 + 1e-9  # over by one answer at most


def test_a_teacher_that_fails_gives_back_what_was_not_asked(cache):
    class Breaks(ColourTeacher):
        def stream(self, images, questions):
            yield 0, self.one(images[0].load(), questions[0])
            raise ConnectionError

    Budget(cache, "run").limit(10, None)
    with pytest.raises(ConnectionError):
        list(ask(Breaks(), cache, Items(range(10)), Account("run")))
    assert Budget(cache, "run").take([0.0] * 20) == 9


def test_a_budget_holds_across_processes(cache):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from components.base.errors import PipelineError
        from colour_teacher import ColourTeacher, Items
        from components.teachers.ask import Account, ask
        from components.teachers.cache import AnswerCache
        first = int(sys.argv[2])
        try:
            list(ask(ColourTeacher(), AnswerCache(Path(sys.argv[1])), Items(range(first, first + 200)),
                     Account("run"), window=16))
        except PipelineError as error:
            sys.exit("the budget of this run is spent" in str(error))
    """)
    Budget(cache, "run").limit(333, None)
    workers = [subprocess.Popen([sys.executable, "-c", script, str(cache.folder), str(1000 * n)],
                                env=os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}) for n in range(4)]
    assert [w.wait() for w in workers] == [1] * 4
    assert total(cache, "run").requests == cache.stats().answers == 333


def test_the_choices_of_a_paid_teacher_are_counted_and_kept(cache):
    class Chooser(ColourTeacher):
        def one(self, image, question):
            best = int(image.mean((0, 1)).argmax())
            return Answer(json.dumps({"likeliest": [{"number": best + 1, "probability": 0.9}]}), 0.1, 50, 5)

        def score(self, images, candidates):
            raise AssertionError("a score that nobody counts")

    views = [View(sample, load) for sample, load, _ in Items(range(5))]
    paid = Metered(Chooser(), cache, Account("run", price=Price(request=0.1)))
    scores = paid.score(views, COLOURS)
    assert scores.argmax(1).tolist() == [int(image_of(n).mean((0, 1)).argmax()) for n in range(5)]
    assert np.allclose(scores.sum(1), 1) and paid.identity == WHO
    assert (scores == paid.score(views, COLOURS)).all()
    assert total(cache, "run").requests == 5 and total(cache, "run").dollars == pytest.approx(0.5)
    Budget(cache, "run").limit(5, None)
    with pytest.raises(PipelineError, match="5 of 5 requests"):
        paid.score(views, ["other", *COLOURS])
