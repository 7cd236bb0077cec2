"""Predictions drawn on images: role-coloured boxes, a readable caption, a tick or a cross against the truth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LONG_SIDE = 480
_CAPTION = 350
_PAPER, _INK, _MUTED, _LINE = "#ffffff", "#1f2933", "#66717d", "#d6dbe0"
_RIGHT, _WRONG = "#00805c", "#c43d00"
_SMALL, _ROLE, _VERB = 17, 21, 30  # sizes of text in pixels
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7a5195")


def overlay(image: np.ndarray, prediction: Mapping[str, Any], truth: Mapping[str, Any] | None = None,
            names: Mapping[str, str] | None = None, *, kind: tuple[str, str] = ("verbs", "verb"),
            right: bool | None = None, note: str = "") -> Image.Image:
    """One image (uint8 [H, W, 3]) with the first-ranked verb's boxes drawn and a caption beside it.

    `prediction` is one prediction record, its boxes pixels of `image`; `truth` a SWiG entry: verb and nouns then carry
    a tick or a cross, and wrong ones are followed by the truth. `names` maps a synset to readable words for that.
    `kind` names what is ranked, in the prediction and in the truth; `right` judges it (None: do the words agree?);
    `note` says more of the truth. The picture is scaled so that its longer side is 480 pixels.
    """
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    photo = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    frame = prediction.get("frames", {}).get(prediction[kind[0]][0], {})
    _draw_boxes(photo, frame, scale)
    lines = list(_caption(prediction, frame, truth, names or {}, kind, right, note))
    page = Image.new("RGB", (size[0] + _CAPTION, max(size[1], 28 + sum(line.step for line in lines))), _PAPER)
    page.paste(photo, (0, 0))
    draw = ImageDraw.Draw(page)
    y = 14
    for line in lines:
        x = size[0] + 16
        if line.colour:
            draw.rounded_rectangle((x, y + 6, x + 14, y + 20), 3, fill=line.colour)
        if line.right is not None:
            _mark(draw, size[0] + _CAPTION - 34, y + (line.size - 16) / 2, line.right)
        x += line.indent
        text = _fit(line.text, line.size, size[0] + _CAPTION - 40 - x)
        draw.text((x, y), text, fill=_MUTED if line.size == _SMALL else _INK, font=_font(line.size))
        y += line.step
    return page


def gallery(items: Sequence[Image.Image], columns: int, titles: Sequence[str] = ()) -> Image.Image:
    """Pictures of any size in a grid of `columns`, each under its title if there are titles."""
    if not items or columns < 1:
        raise ValueError("a gallery needs a picture and a column")
    gap, head = 20, 34 if titles else 0
    columns = min(columns, len(items))
    wide = max(item.width for item in items)
    rows = [items[i:i + columns] for i in range(0, len(items), columns)]
    tall = [max(item.height for item in row) + head for row in rows]
    page = Image.new("RGB", (gap + columns * (wide + gap), gap + sum(t + gap for t in tall)), "#f3f5f7")
    draw = ImageDraw.Draw(page)
    y = gap
    for r, row in enumerate(rows):
        for c, item in enumerate(row):
            x = gap + c * (wide + gap)
            if titles:
                draw.text((x, y), _fit(titles[r * columns + c], _ROLE, wide), fill=_INK, font=_font(_ROLE))
            draw.rectangle((x - 1, y + head - 1, x + wide, y + tall[r]), fill=_PAPER, outline=_LINE)
            page.paste(item, (x, y + head))
        y += tall[r] + gap
    return page


def _draw_boxes(photo: Image.Image, frame: Mapping[str, Any], scale: float) -> None:
    """Boxes in role colours on a light halo, so that they show on any ground, with the role's name at a corner."""
    draw = ImageDraw.Draw(photo)
    font = _font(_SMALL)
    for i, (role, guess) in enumerate(frame.items()):
        if guess["box"] is None:
            continue
        x1, y1, x2, y2 = (v * scale for v in guess["box"])
        x1, x2 = sorted((min(max(x1, 0), photo.width - 1), min(max(x2, 0), photo.width - 1)))
        y1, y2 = sorted((min(max(y1, 0), photo.height - 1), min(max(y2, 0), photo.height - 1)))
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="white", width=5)
        draw.rectangle((x1, y1, x2, y2), outline=_colour(i), width=3)
        left, top, right, bottom = draw.textbbox((0, 0), role, font=font)
        wide, tall = right - left + 10, bottom - top + 8
        x, y = min(x1, photo.width - wide), y1 - tall if y1 >= tall else y1
        draw.rectangle((x, y, x + wide, y + tall), fill=_colour(i))
        draw.text((x + 5 - left, y + 4 - top), role, fill=_on(_colour(i)), font=font)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the caption; `right` asks for a tick or a cross, `step` is the way down to the next line."""

    text: str
    size: int
    step: int
    indent: int = 0
    colour: str | None = None
    right: bool | None = None


def _caption(prediction: Mapping[str, Any], frame: Mapping[str, Any], truth: Mapping[str, Any] | None,
             names: Mapping[str, str], kind: tuple[str, str], right: bool | None, note: str) -> Iterator[_Line]:
    """The verb, its confidence and rivals, then each role; roles are judged only if the verb is right."""
    (verb, *others), scores = prediction[kind[0]], prediction["scores"]
    if right is None and truth is not None:
        right = verb == truth[kind[1]]
    yield _Line(verb, _VERB, 38, right=right)
    if right is False:
        yield _Line(f"truth: {truth[kind[1]]}", _ROLE, 28)
    if note:
        yield _Line(note, _SMALL, 24)
    yield _Line(f"confidence {100 * scores[0]:.0f} %", _SMALL, 24)
    rivals = [f"{v} {100 * s:.0f} %" for v, s in zip(others[:2], scores[1:3], strict=True)]
    if rivals:
        yield _Line("then " + ", ".join(rivals), _SMALL, 34)
    for i, (role, guess) in enumerate(frame.items()):
        said = guess.get("name") or guess["noun"] or "(nothing)"
        true = _true_nouns(truth, role) if right else None
        hit = None if true is None else guess["noun"] in true
        yield _Line(f"{role}: {said}", _ROLE, 27, 24, _colour(i), hit)
        if hit is False:
            known = dict.fromkeys(names.get(n, n) or "(nothing)" for n in true)
            yield _Line("truth: " + " / ".join(known), _SMALL, 22, 24)
        where = "" if guess["box"] is not None else ", no box"
        yield _Line(f"{100 * guess['score']:.0f} %{where}", _SMALL, 29, 24)


def _true_nouns(truth: Mapping[str, Any], role: str) -> list[str] | None:
    """What the annotators said of a role, None where the truth does not know the role."""
    said = [f[role] for f in truth["frames"] if role in f]
    return said or None


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, right: bool) -> None:
    """A green tick or a red cross, drawn (fonts may lack the signs) and different in shape as well as colour."""
    draw.ellipse((x, y, x + 22, y + 22), fill=_RIGHT if right else _WRONG)
    if right:
        draw.line([(x + 5.5, y + 11.5), (x + 9.5, y + 15.5), (x + 16.5, y + 7)], fill="white", width=3)
    else:
        draw.line([(x + 7, y + 7), (x + 15, y + 15)], fill="white", width=3)
        draw.line([(x + 15, y + 7), (x + 7, y + 15)], fill="white", width=3)


def _colour(i: int) -> str:
    return _COLOURS[i % len(_COLOURS)]


def _on(colour: str) -> str:
    """Black or white, whichever reads better on `colour`."""
    r, g, b = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * r + 0.587 * g + 0.114 * b > 140 else "white"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _fit(text: str, size: int, width: float) -> str:
    """`text` on one line, cut with an ellipsis where it would be wider than `width` pixels."""
    text = " ".join(text[:200].split())
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
