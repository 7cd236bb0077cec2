"""What teachers charge, and what is assumed of a question that was never asked before: the settings of spending."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from components.base.errors import UserError
from components.teachers.protocol import Answer, Question

FREE = ("embedded", "recorded:*", "drawn")  # teachers whose answers cost nothing here


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars: per million tokens in and out, per request, per hour of waiting for a teacher of one's own."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0
    request: float = 0.0
    hour: float = 0.0

    def of(self, answer: Answer) -> float:
        """Dollars for one answer; its `seconds` count as its own, whatever was answered at the same time."""
        return (answer.tokens_in * self.tokens_in + answer.tokens_out * self.tokens_out) / 1e6 \
            + self.request + answer.seconds * self.hour / 3600


@dataclass(frozen=True, slots=True)
class Spend:
    """`prices` by pattern of the teacher's name as given to --teacher ("openai:gpt-*"); the first that fits counts.

    `image_tokens`, `answer_tokens` and `answer_seconds` are assumed of a kind of question until one was answered.
    """

    prices: dict[str, Price] = field(default_factory=dict)
    image_tokens: int = 1000
    answer_tokens: int = 300
    answer_seconds: float = 2.0

    def price(self, teacher: str) -> Price | None:
        """None for a teacher that is not in the table."""
        table: Mapping[str, Price] = self.prices | dict.fromkeys(FREE, Price())
        return next((price for pattern, price in table.items() if fnmatchcase(teacher, pattern)), None)

    def assumed(self, question: Question) -> Answer:
        """An answer that costs what a question is assumed to cost: four characters of its text to a token."""
        length = len(question.prompt) + len(str(question.schema or ""))
        return Answer("", self.answer_seconds, self.image_tokens + length // 4, self.answer_tokens)


def require(price: Price | None, teacher: str) -> Price:
    """The price; raises UserError where none is known, as a budget in dollars could not be kept."""
    if price is None:
        raise UserError(f"no price is known for the teacher '{teacher}'", where="--max-cost", mend="dollars "
                        f"a million: --set 'spend.prices={{\"{teacher}\": {{tokens_in: 0.15, tokens_out: 0.6}}}}'")
    return price
