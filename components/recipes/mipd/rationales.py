"""What MIPD asks its teacher, and what it accepts: glimpse (scene) and gaze (role) rationales, positive and negative.

A glimpse tells the scene without a label: posture, things, place, a sentence, and a sentence that is like it but false.
A gaze tells what fills a role's box. Prompts never name the true verb or noun: what is learnt must come from pixels.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from components.base import english
from components.datasets.schema import Sample
from components.recipes.protocol import Record, Rejection
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question

KINDS = ("posture", "things", "place")
FIELDS = {"glimpse": (KINDS, ("scene", "unlike")), "gaze": (("nouns",), ("positive", "negative"))}
LONGEST = 300  # characters of a sentence, 60 of a phrase: teacher text is untrusted

_PHRASES = {
    "type": "array",
    "minItems": 2,
    "maxItems": 5,
    "items": {
        "type": "object",
        "required": ["text", "probability"],
        "additionalProperties": False,
        "properties": {"text": {"type": "string"}, "probability": {"type": "number"}},
    },
}

GLIMPSE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["scene", "unlike", *KINDS],
    "properties": {"scene": {"type": "string"}, "unlike": {"type": "string"}, **dict.fromkeys(KINDS, _PHRASES)},
}
GAZE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["nouns", "positive", "negative"],
    "properties": {"nouns": _PHRASES, "positive": {"type": "string"}, "negative": {"type": "string"}},
}

GLIMPSE_PROMPT = (
    "Look at the picture and answer in JSON. `scene`: one sentence on who is there, how they hold their body, what "
    "things are in use and where. `unlike`: one sentence on a similar scene that this picture does not show. "
    "`posture`, `things`, `place`: the two to five likeliest phrases each, likeliest first, with probabilities."
)
GAZE_PROMPT = (
    "Look at the region {box} of the picture (left, top, right, bottom as fractions); it is the {role}. Answer in "
    "JSON. `nouns`: the two to five likeliest nouns for what is there, likeliest first, with probabilities. "
    "`positive`: one sentence saying what it is. `negative`: one sentence naming a similar thing that it is not."
)


def grounded(annotation: dict[str, Any]) -> dict[str, list[float]]:
    """Boxes of the grounded roles as fractions of the image: {role: [x1, y1, x2, y2]}."""
    width, height = annotation["width"], annotation["height"]
    return {
        role: [round(box[0] / width, 3), round(box[1] / height, 3), round(box[2] / width, 3), round(box[3] / height, 3)]
        for role, box in annotation["bb"].items()
        if min(box) >= 0
    }


def questions(sample: Sample, version: str, gaze: bool) -> list[Question]:
    """One glimpse, and a gaze for every grounded role."""
    asked = [Question("glimpse", GLIMPSE_PROMPT, f"glimpse/{version}", GLIMPSE)]
    if gaze:
        for role, box in grounded(sample.annotation or {"width": 1, "height": 1, "bb": {}}).items():
            prompt = GAZE_PROMPT.format(box=", ".join(map(str, box)), role=role)
            asked.append(Question("gaze", prompt, f"gaze/{version}", GAZE, {"box": box, "role": role}))
    return asked


def accept(sample: Sample, answers: Sequence[Answer]) -> Record | Rejection:
    """{"glimpse": {...}, "gaze": {role: {...}}} of one sample, or why its glimpse cannot be used.

    A gaze that cannot be read is left out by itself, with its reason under "left_out"; the glimpse is indispensable.
    """
    glimpse = read(answers[0], "glimpse")
    if isinstance(glimpse, str):
        return Rejection(sample.id, f"glimpse: {glimpse}")
    if sample.label and glimpse["scene"].strip(" .").lower() == sample.label.lower():
        return Rejection(sample.id, "glimpse: merely repeats the label")
    gazes, left_out = {}, {}
    for role, answer in zip(
        grounded(sample.annotation or {"width": 1, "height": 1, "bb": {}}), answers[1:], strict=False
    ):
        gaze = read(answer, "gaze")
        if isinstance(gaze, str):
            left_out[role] = gaze
        else:
            gazes[role] = gaze
    return Record(sample.id, {"glimpse": glimpse, "gaze": gazes, "left_out": left_out})


def statement(question: Question, answer: Answer) -> Statement | str:
    """What an answer says that can be judged, or in words why it cannot be used."""
    found = read(answer, question.kind)
    if isinstance(found, str):
        return found
    lists, (positive, negative) = FIELDS[question.kind]
    box = question.context.get("box")
    return Statement(found[positive], found[negative], tuple(t for name in lists for t, _ in found[name]),
                     tuple(box) if box else None)


def repaired(question: Question, answer: Answer, mended: Statement) -> Answer:
    """The answer with the sentences of `mended`.

    What is learnt of a gaze are its first two nouns: those that the mended sentences name come first, and where the
    true one names none of them, the answer fails.
    """
    reply = json.loads(answer.text)
    reply |= dict(zip(FIELDS[question.kind][1], (mended.positive, mended.negative), strict=True))
    if question.kind == "gaze":
        nouns = sorted(filter(_phrase, reply["nouns"]), key=lambda n: (
            not english.names(mended.positive, n["text"]), not english.names(mended.negative, n["text"])))
        if not english.names(mended.positive, nouns[0]["text"]):
            return dataclasses.replace(answer, text="", failure="the repaired sentence names none of the nouns")
        chances = sorted((n["probability"] for n in nouns), reverse=True)
        reply["nouns"] = [n | {"probability": p} for n, p in zip(nouns, chances, strict=True)]
    return dataclasses.replace(answer, text=json.dumps(reply, ensure_ascii=False))


def read(answer: Answer, kind: str) -> dict[str, Any] | str:
    """The checked content of a teacher's JSON to a question of a kind, or in words what is wrong with it."""
    if answer.failure:
        return answer.failure
    lists, sentences = FIELDS[kind]
    try:
        reply = json.loads(answer.text)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(reply, dict):
        return "not a JSON object"
    out: dict[str, Any] = {}
    for name in sentences:
        value = reply.get(name)
        if not isinstance(value, str) or not value.strip():
            return f"no '{name}'"
        if len(value) > LONGEST:
            return f"'{name}' is longer than {LONGEST} characters"
        out[name] = value.strip()
    if out[sentences[0]].lower() == out[sentences[1]].lower():
        return f"'{sentences[0]}' equals '{sentences[1]}'"
    for name in lists:
        phrases = [(p["text"].strip(), float(p["probability"])) for p in reply.get(name) or () if _phrase(p)]
        if len(phrases) < 2:
            return f"fewer than two usable phrases in '{name}'"
        total = sum(p for _, p in phrases) or 1.0
        out[name] = [[t, round(p / max(total, 1.0), 4)] for t, p in phrases[:5]]
    return out


def _phrase(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("text"), str)
        and 0 < len(value["text"].strip()) <= 60
        and isinstance(value.get("probability"), (int, float))
        and 0 <= value["probability"] <= 1
    )


def rows(record: Record, label: str) -> list[dict[str, Any]]:
    """The record as rows of the rationale quality suite."""
    glimpse = record.content["glimpse"]
    out = [
        {
            "sample": record.sample,
            "kind": "glimpse",
            "role": "",
            "label": label,
            "positive": glimpse["scene"],
            "negative": glimpse["unlike"],
        }
    ]
    return out + [
        {
            "sample": record.sample,
            "kind": "gaze",
            "role": role,
            "label": label,
            "positive": gaze["positive"],
            "negative": gaze["negative"],
        }
        for role, gaze in record.content["gaze"].items()
    ]
