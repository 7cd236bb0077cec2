"""Drawing one bird: a list of coloured polygons in body lengths, facing right, the middle of the body at the origin."""

import math

import numpy as np

from components.datasets.scenes.shapes import curve, oval, poly, shade, smooth, stroke
from components.datasets.species.catalogue import INK, Colour, Species

Part = tuple[Colour, tuple[tuple[float, float], ...]]


class _Drawing:
    """Polygons in order; points may be turned with the body."""

    def __init__(self, tilt: float):
        self.parts: list[Part] = []
        self.cos, self.sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))

    def add(self, colour: Colour, points: tuple[tuple[float, float], ...], turned: bool = False) -> None:
        if turned:
            points = tuple((x * self.cos - y * self.sin, x * self.sin + y * self.cos) for x, y in points)
        self.parts.append((colour, points))

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the body is after turning."""
        return x * self.cos - y * self.sin, x * self.sin + y * self.cos


def parts(species: Species, rng: np.random.Generator) -> list[Part]:
    """The bird's polygons from back to front; `rng` gives this individual its pose and its shade of the colours."""
    build, look = species.build, species.look
    fade, nod = rng.uniform(-.12, .14), rng.uniform(-.05, .05)
    back, belly, mark, beak = (shade(INK[c], 1 + fade) for c in (look.back, look.belly, look.mark, look.beak))
    drawing = _Drawing(build.body[2] + rng.uniform(-6, 6))
    rx, ry, _ = build.body
    hx, hy, hr = build.head[0] + nod, build.head[1] + nod * .6, build.head[2]
    _legs(drawing, build.legs, ry, shade(beak, .8), rng)
    _tail(drawing, build.tail, rx, ry, shade(back, .72))
    neck = drawing.spot(rx * .55, -ry * .25)
    drawing.add(back, stroke("", hr * 1.25, neck, ((neck[0] + hx) / 2 + .04, (neck[1] + hy) / 2), (hx, hy)).points)
    drawing.add(back, oval("", 0, 0, rx, ry, steps=28).points, True)
    _breast(drawing, rx, ry, belly, mark, look.breast)
    _wing(drawing, rx, ry, shade(back, .8), look.wing)
    _beak(drawing, build.beak, hx, hy, hr, beak)
    _head(drawing, hx, hy, hr, back, mark, look.head, build.crest)
    return drawing.parts


def _legs(drawing: _Drawing, length: float, ry: float, colour: Colour, rng: np.random.Generator) -> None:
    stride = rng.uniform(.02, .12)
    for x in (-.06 - stride, .04 + stride):
        foot = ry * .8 + length
        drawing.add(colour, stroke("", .045, (x * .5, ry * .6), (x, foot), (x + .11, foot)).points)


def _tail(drawing: _Drawing, tail: tuple[str, float], rx: float, ry: float, colour: Colour) -> None:
    form, length = tail
    x, end = -rx * .8, -rx * .8 - length
    shapes = {
        "short": [((x, -ry * .4), (end, -ry * .45), (end, ry * .1), (x, ry * .35))],
        "long": [((x, -ry * .35), (end, -ry * .2), (end - .05, 0), (end, ry * .2), (x, ry * .25))],
        "notched": [((x, -ry * .3), (end, -ry * .45), (end + .1, 0), (end, ry * .3), (x, ry * .3))],
        "forked": [((x, -ry * .3), (end, -ry * .75), (end + .26, 0), (end, ry * .6), (x, ry * .3))],
    }
    for points in shapes[form]:
        drawing.add(colour, points, True)


def _breast(drawing: _Drawing, rx: float, ry: float, belly: Colour, mark: Colour, pattern: str) -> None:
    """The lower front of the body, and what is drawn on it."""
    edge = [(rx * .96 * math.cos(t), ry * .96 * math.sin(t)) for t in np.linspace(-.5, 2.75, 20)]
    drawing.add(belly, (*edge, (-rx * .3, ry * .1), (rx * .45, -ry * .2)), True)
    if pattern in ("streaked", "spotted"):
        for row, across in enumerate(np.linspace(.2, .8, 4)):
            for along in np.linspace(-.35, .75, 6):
                x, y = rx * (along + .07 * (row % 2)), ry * across
                if (x / rx) ** 2 + (y / ry) ** 2 < .8:
                    shape = (stroke("", .028, (x - .035, y - .03), (x + .035, y + .03)) if pattern == "streaked"
                             else oval("", x, y, .028, steps=8))
                    drawing.add(mark, shape.points, True)
    elif pattern == "barred":
        for along in np.linspace(-.45, .7, 6):
            depth = ry * math.sqrt(max(0.0, .86 - along**2))
            drawing.add(mark, stroke("", .035, (rx * along, ry * .12), (rx * along + .02, depth)).points, True)
    elif pattern == "banded":
        drawing.add(mark, smooth("", (rx * .82, -ry * .45), (rx * .62, -ry * .1), (rx * .5, ry * .78),
                                 (rx * .7, ry * .62), (rx * .86, 0)).points, True)


def _wing(drawing: _Drawing, rx: float, ry: float, colour: Colour, pattern: str) -> None:
    outline = smooth("", (rx * .42, -ry * .42), (rx * .1, -ry * .62), (-rx * .55, -ry * .5), (-rx * 1.12, -ry * .02),
                     (-rx * .5, ry * .32), (rx * .1, ry * .26))
    drawing.add(colour, outline.points, True)
    if pattern == "barred":
        for x in (-.02, -.34):
            drawing.add(INK["white"], stroke("", .055, (rx * x, -ry * .5), (rx * (x - .16), ry * .24)).points, True)
    elif pattern == "patched":
        drawing.add(INK["white"], oval("", -rx * .3, -ry * .1, rx * .3, ry * .2, steps=14).points, True)
    drawing.add(shade(colour, .7), curve("", .02, (-rx * .2, ry * .1), (-rx * .6, ry * .12), (-rx, 0)).points, True)


def _head(drawing: _Drawing, x: float, y: float, r: float, back: Colour, mark: Colour, pattern: str,
          crest: float) -> None:
    if crest:
        colour = mark if pattern in ("capped", "hooded") else back
        drawing.add(colour, ((x + r * .3, y - r * .8), (x - r * 1.1, y - r - crest), (x - r * .8, y - r * .2)))
    drawing.add(mark if pattern == "hooded" else back, oval("", x, y, r, steps=24).points)
    if pattern == "capped":
        cap = [(x + r * 1.02 * math.cos(t), y + r * 1.02 * math.sin(t)) for t in np.linspace(-3.05, -.1, 14)]
        drawing.add(mark, tuple(cap))
    elif pattern == "masked":
        drawing.add(mark, poly("", (x + r, y - r * .32), (x - r * .98, y - r * .2), (x - r * .9, y + r * .28),
                               (x + r * .98, y + r * .2)).points)
    drawing.add(INK["white"], oval("", x + r * .28, y - r * .12, r * .24, steps=12).points)
    drawing.add(INK["black"], oval("", x + r * .31, y - r * .12, r * .15, steps=12).points)


def _beak(drawing: _Drawing, beak: tuple[str, float], x: float, y: float, r: float, colour: Colour) -> None:
    form, length = beak
    root, tip = x + r * .7, x + r + length
    shapes = {
        "cone": ((root, y - r * .42), (tip, y + r * .2), (root, y + r * .55)),
        "straight": ((root, y - r * .22), (tip, y + r * .14), (root, y + r * .34)),
        "dagger": ((root, y - r * .3), (tip, y + r * .16), (root, y + r * .46)),
        "flat": ((root, y - r * .2), (x + r * 1.1, y + r * .02), (tip, y + r * .22), (tip, y + r * .44),
                 (root, y + r * .5)),
        "hooked": ((root, y - r * .4), (tip - .03, y - r * .22), (tip, y + r * .5), (tip - .06, y + r * .22),
                   (root, y + r * .42)),
    }
    if form == "curved":
        drawing.add(colour, curve("", .045, (root, y), (x + r + length * .5, y - r * .02), (tip, y + r * 1.0)).points)
    else:
        drawing.add(colour, shapes[form])
