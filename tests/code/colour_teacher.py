"""A teacher that tells colour and brightness from the pixels, samples for it, and entries for the cache."""

import dataclasses
import hashlib

import numpy as np

from components.teachers.cache import Entry
from components.teachers.protocol import Answer, Identity, Question, Teacher

COLOURS = ("red", "green", "blue")
WHO = Identity("embedded", "colours", "1")


class ColourTeacher(Teacher):
    """Names the strongest colour of an image, or its brightness, from the pixels; the last question comes first."""

    identity, decoding = WHO, {"temperature": 0.5}

    def __init__(self):
        self.calls: list[int] = []

    def stream(self, images, questions):
        self.calls.append(len(questions))
        for i in reversed(range(len(questions))):
            yield i, self.one(images[i].load(), questions[i])

    def one(self, image, question):
        if question.kind == "brightness":
            return Answer(f"{image.mean():.1f}", 0.002, tokens_in=2, tokens_out=1)
        if question.kind == "refused":
            return Answer("", 0.004, tokens_in=5, failure="it refuses")
        return Answer(COLOURS[int(image.mean((0, 1)).argmax())], seconds=0.001, tokens_in=3, tokens_out=1)


COLOUR = Question("colour", "Which colour is strongest?", "1")
BRIGHTNESS = Question("brightness", "How bright is it?", "1", context={"role": "item"})
REFUSED = Question("refused", "Who is that?", "1")


def image_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def name_of(number: int) -> str:
    return hashlib.sha256(image_of(number).tobytes()).hexdigest()


class Items:
    """Samples with a loader that counts how often an image is decoded."""

    def __init__(self, numbers, questions=(COLOUR, BRIGHTNESS)):
        self.numbers, self.questions, self.decoded = list(numbers), questions, []

    def __iter__(self):
        for number in self.numbers:
            yield name_of(number), self._loader(number), self.questions

    def _loader(self, number):
        def load():
            self.decoded.append(number)
            return image_of(number)
        return load


def entry(number: int, text: str = "", run: str = "run-1", question: Question = COLOUR, **changes) -> Entry:
    made = Entry(hashlib.sha256(str(number).encode()).hexdigest(), question, WHO, {"seed": 1},
                 Answer(text or f"ünïcode {number}", number / 7, number, 2 * number), run, 1_700_000_000 + number)
    return dataclasses.replace(made, **changes)
