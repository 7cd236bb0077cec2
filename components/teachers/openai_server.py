"""The openai teacher: a model behind any server of the OpenAI protocol (vLLM, SGLang, llama.cpp, Ollama, hosted).

Questions go out many at once, pictures inline; what comes back is checked like anybody else's words. Such servers have
no features to give: `grid` and `words` are borrowed from the frozen encoders (`components.teachers.sight`).
"""

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from components.base.errors import PipelineError, UserError
from components.encoders.cache import FeatureCache
from components.teachers import choice, openai_batch
from components.teachers.openai_protocol import Dialect, Refused, answer_of, first_choice, usage
from components.teachers.pictures import QUALITY, data_urls
from components.teachers.protocol import Answer, Identity, Question, View
from components.teachers.sight import BorrowedSight
from components.teachers.specs import Spec
from components.teachers.untrusted import Unfit
from components.teachers.wire import Declined, Wire


class OpenAITeacher(BorrowedSight):
    """See `components.teachers.protocol.Teacher`. Loading it asks nothing; the first question does.

    Threads may share it: all requests leave from one event loop, so that the bounds hold for all of them together.
    """

    def __init__(self, spec: Spec, features: FeatureCache | None = None):
        self.settings, self.cached = spec.settings, features
        model, _, url = spec.where.rpartition("@")
        self.wire, self.dialect = Wire(url, self.settings), Dialect(model, self.settings)
        self.identity = Identity("openai", model, self.settings.revision or url)
        self.decoding: Mapping[str, Any] = {
            **{k: getattr(self.settings, k) for k in ("max_tokens", "temperature", "seed", "side", "attempts")},
            "picture": f"jpeg{QUALITY}"}
        self._logprobs = True  # until the server tells none
        self._loop = _Loop(self.wire)

    def stream(self, images: Sequence[View], questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Answers as they come. After an outage those still on their way are yielded before it is raised."""
        rows = set(range(len(questions)))
        if self.settings.batch_api:
            for i, answer in openai_batch.collect(self, images, questions):
                rows.remove(i)
                yield i, answer
        yield from self._each(sorted(rows), lambda i: self._ask(images[i], questions[i]))

    def _each(self, rows: Sequence[int], job: Callable[[int], Coroutine]) -> Iterator[tuple[int, Any]]:
        """Runs a job for every row, some hundred at a time, and yields (row, result) as they end."""
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        flying: dict[int, Future] = {}
        left, trouble = iter(rows), None

        def launch(count: int) -> None:
            for i in islice(left, count):
                flying[i] = self._loop.run(job(i))
                flying[i].add_done_callback(lambda _, i=i: ended.put(i))

        try:
            launch(2 * self.settings.concurrency)  # the second half is made ready while the first is asked
            while flying:
                i = ended.get()
                try:
                    result = flying.pop(i).result()
                except (PipelineError, UserError) as error:
                    trouble = trouble or error
                    continue
                if trouble is None:
                    launch(1)
                yield i, result
            if trouble is not None:
                raise trouble
        finally:
            for future in flying.values():
                future.cancel()

    async def _ask(self, view: View, question: Question) -> Answer:
        """The checked answer to one question; a refusal, or nothing usable after all attempts, is a failure."""
        pictures = await self._pictures(view)
        cost, why = Answer(""), ""
        for attempt in range(self.settings.attempts):
            try:
                reply = await self.dialect.chat(self.wire, pictures, question, why, attempt)
            except Declined as refusal:
                return replace(cost, failure=f"the server declined: {refusal.reason}")
            tokens = usage(reply.content)
            cost = Answer("", cost.seconds + reply.seconds, cost.tokens_in + tokens[0], cost.tokens_out + tokens[1])
            try:
                return replace(cost, text=answer_of(reply.content, question, self.wire.secret).text)
            except Unfit as reason:
                why = str(reason)
            except Refused as refusal:
                return replace(cost, failure=str(refusal))
        return replace(cost, failure=f"{self.settings.attempts} answers, the last one {why}")

    async def _pictures(self, view: View) -> list[str]:
        return await asyncio.to_thread(data_urls, view, self.settings.side)

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """By the log-probabilities of the candidates' letters where the server tells them, else by one JSON question.

        Raises PipelineError where an image's question fails.
        """
        out = np.zeros((len(images), len(candidates)), np.float32)
        for i, row in self._each(range(len(images)), lambda i: self._score(images[i], candidates)):
            out[i] = row
        return out

    async def _score(self, view: View, candidates: Sequence[str]) -> np.ndarray:
        if self._logprobs and len(candidates) <= len(choice.LETTERS):
            with suppress(Declined, Unfit):
                reply = await self.dialect.chat(self.wire, await self._pictures(view), choice.by_letter(candidates),
                                                logprobs=True, top_logprobs=len(choice.LETTERS))
                return choice.read_letters(first_choice(reply.content), len(candidates))
            self._logprobs = False
        answer = await self._ask(view, choice.question(candidates))
        if answer.failure:
            raise PipelineError(f"teacher '{self.identity.name}' chose no text of {len(candidates)}: {answer.failure}")
        return choice.read(answer.text, len(candidates))

    def wait(self, work: Coroutine) -> Any:
        """The result of a coroutine on the teacher's loop."""
        return self._loop.run(work).result()


class _Loop:
    """An event loop in a thread of its own, begun with the first request and ended with its owner or the process."""

    def __init__(self, wire: Wire):
        self._wire, self._lock, self._loop = wire, threading.Lock(), None

    def run(self, work: Coroutine) -> Future:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
                thread.start()
                weakref.finalize(self, _end, self._loop, thread, self._wire)
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, wire: Wire) -> None:
    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(wire.close(), loop).result(2)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(2)
    if not thread.is_alive():
        loop.close()  # else it is closed when Python has already taken its parts away, with a traceback
