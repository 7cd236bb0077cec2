"""Asking a server of fixed latency: how near the ideal, how much faster than one by one, and a second run.

    python -m benchmarks.teachers [--questions 1280] [--latency 0.5]

The server runs in a process of its own, on the same machine. The rate is that of the whole way from the question to the
cached answer: pictures decoded and encoded, replies checked, answers committed one by one.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.chat_server import serving
from components import teachers
from components.teachers.ask import Account, Item, ask
from components.teachers.cache import AnswerCache
from components.teachers.protocol import Question

CONCURRENCY = 64
EACH = 4  # questions about a picture
SCHEMA = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
QUESTIONS = [Question("bench", f"Look at part {n} of the picture. What is there?", "1", SCHEMA) for n in range(EACH)]


def items(pictures: range) -> Iterator[Item]:
    """Pictures of noise, 256 pixels wide, with `EACH` questions."""
    for number in pictures:
        def load(number: int = number) -> np.ndarray:
            return np.random.default_rng(number).integers(0, 256, (256, 256, 3), dtype=np.uint8)

        yield hashlib.sha256(str(number).encode()).hexdigest(), load, QUESTIONS


def rate(spec: str, cache: AnswerCache, pictures: range) -> float:
    """Questions answered in a second."""
    teacher = teachers.get(spec)
    began = time.perf_counter()
    count = sum(not e.answer.failure for _, entries in ask(teacher, cache, items(pictures), Account("benchmark"))
                for e in entries)
    if count != EACH * len(pictures):
        raise SystemExit(f"only {count} of {EACH * len(pictures)} questions were answered")
    return count / (time.perf_counter() - began)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--questions", type=int, default=20 * CONCURRENCY)
    options.add_argument("--latency", type=float, default=0.5, help="seconds an answer takes")
    given = options.parse_args()
    pictures = range(given.questions // EACH)
    with tempfile.TemporaryDirectory() as folder, serving(given.latency) as server:
        spec, cache = f"{server.spec}?concurrency={CONCURRENCY}", AnswerCache(Path(folder))
        rate(spec, cache, range(2 * 10**6, 2 * 10**6 + 16))  # imports
        many = rate(spec, cache, pictures)
        one = rate(f"{server.spec}?concurrency=1", cache, range(10**6, 10**6 + 5))
        before = server.count()
        again = rate(spec, cache, pictures)
        ideal = CONCURRENCY / given.latency
        print(f"{many:,.0f} requests/s with {CONCURRENCY} at once, {one:.2f} one by one, ideal {ideal:,.0f} "
              f"({given.latency} s an answer, {given.questions:,} questions)")
        print(f"over the ideal           {many / ideal:.3f}   (target: at least 0.9)")
        print(f"over one by one          {many / one:.1f}   (target: at least 40)")
        print(f"teacher calls, second run over first: {server.count() - before} over {given.questions:,} "
              f"(target: 0), at {again:,.0f} questions/s")


if __name__ == "__main__":
    main()
