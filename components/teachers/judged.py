"""Answers that were read, judged and, where rejected, asked for again: what a recipe may learn from.

A rejected answer becomes a failed one with its reason, a repaired one holds the repaired sentences; so a recipe reads
judged answers as it reads any. Asked again is with another prompt, which says what was wrong; a teacher that draws no
text (no decoding parameters) reads no prompt, and is asked once.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.base.text import line
from components.teachers.ask import Account, AskCounts, ask
from components.teachers.cache import AnswerCache, Entry
from components.teachers.judge import Case, Judge, Statement, Verdict
from components.teachers.protocol import Answer, Question, Teacher

AGAIN = "{prompt}\n\nAn earlier answer was turned down: {reason}. Look again, and give another answer."


@dataclass(frozen=True, slots=True)
class Subject:
    """A sample that is asked about: its id (the image's sha256), loader, label ("" if none) and questions."""

    id: str
    load: Callable[[], np.ndarray]
    label: str
    questions: Sequence[Question]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a recipe reads an answer: into a statement, or in words why not; and how it writes a repair into one."""

    statement: Callable[[Question, Answer], Statement | str]
    repair: Callable[[Question, Answer, Statement], Answer]


@dataclass(frozen=True, slots=True)
class Judged:
    """The last answer to a question (repaired, or failed with the reason), its verdict, and how often it was asked."""

    entry: Entry
    verdict: Verdict
    attempts: int
    silent: bool = False  # the teacher gave no answer at all


Open = dict[str, dict[int, Question]]  # what is to be asked next: {sample: {position: question}}


class Asking:
    """Asks `teacher` about subjects, at most `again` times more where an answer is rejected; no judge: it is read only.

    `counts` holds what was asked so far, of the judge as well.
    """

    def __init__(self, teacher: Teacher, cache: AnswerCache, account: Account, reading: Reading, *,
                 judge: Judge | None = None, again: int = 0, progress: Callable[[AskCounts], None] | None = None):
        self.teacher, self.cache, self.account, self.reading, self.judge = teacher, cache, account, reading, judge
        self.again = again if teacher.decoding else 0
        self.progress, self._asked = progress, AskCounts()

    @property
    def counts(self) -> AskCounts:
        return self._asked + self.judge.counts if self.judge else self._asked

    def about(self, subjects: Iterable[Subject]) -> Iterator[tuple[str, list[Judged]]]:
        """(sample, its judged answers in the order of its questions) for every subject, in their order.

        All subjects are held until the last is judged: give a shard at a time. Raises what `ask` raises.
        """
        known = {subject.id: subject for subject in subjects}
        open_ones: Open = {s.id: dict(enumerate(s.questions)) for s in known.values() if s.questions}
        found: dict[str, dict[int, Judged]] = {sample: {} for sample in known}
        for attempt in range(1, self.again + 2):
            for sample, judged in self._round(known, open_ones, attempt):
                found[sample] |= {i: last for i, last in judged.items()  # no second answer: the first verdict stands
                                  if attempt == 1 or not last.silent}
            open_ones = self._rejected(known, found)
            if not open_ones:
                break
        for sample, subject in known.items():
            yield sample, [found[sample][i] for i in range(len(subject.questions))]

    def _round(self, known: Mapping[str, Subject], asked: Open,
               attempt: int) -> Iterator[tuple[str, dict[int, Judged]]]:
        """One round of asking and judging."""
        items = ((sample, known[sample].load, list(questions.values())) for sample, questions in asked.items())
        before = self._asked

        def tell(so_far: AskCounts) -> None:
            self._asked = before + dataclasses.replace(so_far, samples=so_far.samples if attempt == 1 else 0)
            if self.progress:
                self.progress(self.counts)

        entries = {sample: dict(zip(asked[sample], said, strict=True)) for sample, said in
                   ask(self.teacher, self.cache, items, self.account, progress=tell)}
        verdicts, cases = {}, []
        for sample, said in entries.items():
            for i, entry in said.items():
                statement = self.reading.statement(entry.question, entry.answer)
                if isinstance(statement, str):
                    verdicts[sample, i] = Verdict("rejected", "reading", statement)
                elif self.judge:
                    cases.append(Case(sample, known[sample].load, known[sample].label, i, statement))
                else:
                    verdicts[sample, i] = Verdict("accepted", "")
        if cases:
            found = self.judge.verdicts(cases)
            verdicts |= {(case.sample, case.question): v for case, v in zip(cases, found, strict=True)}
        for sample, said in entries.items():
            yield sample, {i: self._judged(entry, verdicts[sample, i], attempt) for i, entry in said.items()}

    def _judged(self, entry: Entry, verdict: Verdict, attempt: int) -> Judged:
        answer = entry.answer
        if verdict.decision == "rejected":
            answer = dataclasses.replace(answer, text="", failure=verdict.reason)
        elif verdict.decision == "repaired":
            answer = self.reading.repair(entry.question, answer, Statement(verdict.positive, verdict.negative))
        return Judged(dataclasses.replace(entry, answer=answer), verdict, attempt, bool(entry.answer.failure))

    @staticmethod
    def _rejected(known: Mapping[str, Subject], found: Mapping[str, Mapping[int, Judged]]) -> Open:
        """The rejected ones, as they are asked for again."""
        rejected: Open = {}
        for sample, said in found.items():
            for i, judged in said.items():
                if judged.verdict.decision == "rejected":
                    asked = known[sample].questions[i]
                    rejected.setdefault(sample, {})[i] = _again(asked, judged.verdict.reason, judged.attempts)
        return rejected


def _again(question: Question, reason: str, attempts: int) -> Question:
    prompt = AGAIN.format(prompt=question.prompt, reason=line(reason))
    return dataclasses.replace(question, prompt=prompt, version=f"{question.version}+{attempts}")
