"""The answer cache at a million entries: its size, what it reads a second, and what many writers wait for.

    python -m benchmarks.teachers_cache [--entries 1000000] [--writers 8]

The answers are like those of a recipe: five regions a picture, with prompts and JSON schemas of the usual length.
"""

import argparse
import hashlib
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from components.teachers.cache import FILES, AnswerCache
from components.teachers.packing import LAYOUT, SCHEMA, Entry, Shared
from components.teachers.protocol import Answer, Identity, Question
from components.teachers.shards import Shards

WHO, DECODING = Identity("openai", "a-large-model", "2026-01-01"), {"temperature": 0.0, "max_tokens": 512}
PHRASES = {"type": "array", "minItems": 2, "items": {"type": "object", "required": ["text", "probability"],
           "properties": {"text": {"type": "string"}, "probability": {"type": "number"}}}}
FORM = {"type": "object", "required": ["nouns", "positive", "negative"], "properties": {
    "nouns": PHRASES, "positive": {"type": "string"}, "negative": {"type": "string"}}}
PROMPT = ("Here is a picture. Tell what can be seen in its region {}, whose corners are fractions of the sides of the "
          "picture. Reply with JSON: under `nouns` names for it, each with a probability, the best one first; under "
          "`positive` a sentence that is true of the region; under `negative` a sentence that is nearly true.")
WORDS = [f"{a}{b}" for a in ("boat", "field", "hand", "horse", "rope", "street") for b in ("", "s", " man", " side")]
LOOK, SECONDS = 1000, 5.0


def entries(count: int) -> Iterator[Entry]:
    """`count` answers, five a picture; the same ones at every call."""
    draw = random.Random(0)
    for number in range(count):
        image = hashlib.sha256(str(number // 5).encode()).hexdigest()
        box = [round(draw.random(), 3) for _ in range(4)]
        said = {"nouns": [{"text": draw.choice(WORDS), "probability": round(draw.random(), 4)} for _ in range(3)],
                "positive": f"It is a {draw.choice(WORDS)}.", "negative": f"It is a {draw.choice(WORDS)}."}
        answer = Answer(json.dumps(said), round(draw.uniform(0.3, 3.0), 3), 950, 90)
        yield Entry(image, Question("gaze", PROMPT.format(box), "gaze/1", FORM, {"box": box}), WHO, DECODING, answer,
                    "a-run", 1_760_000_000 + number)


def reads(cache: AnswerCache, keys: list[bytes]) -> float:
    """Answers read and checked in a second, in random order."""
    began = time.perf_counter()
    for start in range(0, len(keys), LOOK):
        if len(cache.get_many(keys[start:start + LOOK])) != len(keys[start:start + LOOK]):
            raise SystemExit("an answer was not found")
    return len(keys) / (time.perf_counter() - began)


def filled(folder: Path, count: int) -> tuple[AnswerCache, list[bytes]]:
    """A cache of `count` answers, with the keys of at most 50,000 of them, drawn at random."""
    cache, draw = AnswerCache(folder), random.Random(1)
    cache.add(entries(count))
    wanted = set(draw.sample(range(count), min(count, 50_000)))
    keys = [e.key for n, e in enumerate(entries(count)) if n in wanted]
    draw.shuffle(keys)
    return cache, keys


def write(folder: Path, names: tuple[str, ...], seed: int, waits: multiprocessing.Queue) -> None:
    """Commits rows of one answer for some seconds; puts (commits, longest wait in seconds)."""
    shards, draw = Shards(folder, names, LAYOUT, SCHEMA, Shared), random.Random(seed)
    count, longest, end = 0, 0.0, time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end:
        key = draw.randbytes(48)
        with shards.writing(key[0] % len(names)) as (db, _):
            db.execute("INSERT INTO answers VALUES (?, 1, 1, 1, 0, 0.0, 0, 0, ?, ?)", (key, draw.randbytes(150), b""))
        count, longest = count + 1, max(longest, time.perf_counter() - began)
    waits.put((count, longest))


def writers(folder: Path, names: tuple[str, ...], number: int) -> tuple[float, float]:
    """(commits a second, longest wait in seconds) of `number` processes."""
    waits = multiprocessing.Queue()
    crowd = [multiprocessing.Process(target=write, args=(folder, names, n, waits)) for n in range(number)]
    for one in crowd:
        one.start()
    told = [waits.get() for _ in crowd]
    for one in crowd:
        one.join()
    return sum(n for n, _ in told) / SECONDS, max(w for _, w in told)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--writers", type=int, default=8)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        smaller = max(1000, given.entries // 100)
        base = reads(*filled(Path(folder) / "few", smaller))
        began = time.perf_counter()
        many, keys = filled(Path(folder) / "many", given.entries)
        added = given.entries / (time.perf_counter() - began)
        rate = reads(many, keys)
        many.close()
        plain = sum(len(json.dumps([e.image, e.question.prompt, FORM, e.question.context, e.answer.text, DECODING]))
                    for e in entries(1000)) / 1000
        each = many.stats().bytes / given.entries
        print(f"{rate:,.0f} reads/s at {given.entries:,} entries over {base:,.0f} at {smaller:,}: "
              f"ratio {rate / base:.2f}; filled at {added:,.0f} entries/s")
        print(f"{each:.0f} bytes an entry over {plain:.0f} written out: ratio {each / plain:.2f}")
        one, apart = (writers(Path(folder) / f"w{len(names)}", names, given.writers)
                      for names in (("only.sqlite",), FILES))
        print(f"{given.writers} writers, longest wait: {1000 * apart[1]:.0f} ms with {len(FILES)} files over "
              f"{1000 * one[1]:.0f} ms with one: ratio {apart[1] / one[1]:.2f}; commits/s {apart[0]:,.0f} over "
              f"{one[0]:,.0f}")


if __name__ == "__main__":
    main()
