"""The painters of the places: streets, shores, rooms and halls, on a brush that works in shares of the image side."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .shapes import Colour, shade

MARGIN = 1.2  # a background is this much wider and higher than an image, so that crops differ


class Brush:
    """Painting helper of one variant, in shares of the image side; x and y run from 0 to MARGIN."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        self.side, self.rng = side, rng
        self.image = Image.new("RGB", (round(side * MARGIN),) * 2)
        self.pen = ImageDraw.Draw(self.image)
        self.width = self.height = MARGIN

    def u(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def tint(self, colour: Colour, spread: int = 14) -> Colour:
        return tuple(min(255, max(0, c + o)) for c, o in zip(colour, self.rng.integers(-spread, spread + 1,
            3).tolist(), strict=True))

    def xy(self, *values: float) -> list[float]:
        return [v * self.side for v in values]

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        if x1 > x0 and y1 > y0:
            self.pen.rectangle(self.xy(x0, y0, x1, y1), fill=colour)

    def poly(self, colour: Colour, *points: tuple[float, float]) -> None:
        self.pen.polygon([v * self.side for p in points for v in p], fill=colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.pen.ellipse(self.xy(x - rx, y - ry, x + rx, y + ry), fill=colour)

    def line(self, colour: Colour, width: float, *values: float) -> None:
        self.pen.line(self.xy(*values), fill=colour, width=max(1, round(width * self.side)))

    def fade(self, y0: float, y1: float, top: Colour, bottom: Colour, steps: int = 14) -> None:
        for k in range(steps):
            t = k / (steps - 1)
            self.rect(0, y0 + (y1 - y0) * k / steps, self.width, y0 + (y1 - y0) * (k + 1) / steps + .004,
                      tuple(int(a + (b - a) * t) for a, b in zip(top, bottom, strict=True)))

    def sky(self, horizon: float) -> None:
        tops = ((96, 160, 226), (120, 176, 224), (150, 170, 200), (226, 160, 120), (136, 190, 236))
        top = self.tint(tops[self.rng.integers(len(tops))])
        self.fade(0, horizon + .01, top, shade(top, 1.6))
        for _ in range(int(self.rng.integers(0, 4))):
            x, y, r = self.u(0, self.width), self.u(.04, horizon * .6), self.u(.025, .05)
            for k in (-1.5, -.6, .4, 1.3):
                self.oval(x + k * r, y + abs(k) * r * .25, r * 1.1, r * .75, shade(top, 1.85))

    def ground(self, y: float, colour: Colour, depth: float = .8) -> None:
        self.fade(y, self.height, shade(colour, 1.12), shade(colour, depth))

    def blades(self, y: float, colour: Colour, count: int = 90) -> None:
        for _ in range(count):
            x, v = self.u(0, self.width), self.u(y + .02, self.height)
            self.line(shade(colour, .72 if self.rng.random() < .6 else 1.25), .006, x, v, x + .008,
                      v - .02 - .02 * (v - y))

    def tree(self, x: float, base: float, high: float, pine: bool, leaf: Colour) -> None:
        self.rect(x - high * .05, base - high * .4, x + high * .05, base, (96, 68, 46))
        if pine:
            for k in range(3):
                w, y = high * (.32 - .07 * k), base - high * (.15 + .25 * k)
                self.poly(shade(leaf, .8 + .12 * k), (x - w, y), (x + w, y), (x, y - high * .4))
        else:
            for dx, dy, r in ((-.2, .55, .22), (.2, .55, .22), (0, .72, .26)):
                self.oval(x + dx * high, base - dy * high, r * high, r * high, shade(leaf, .85))
            self.oval(x - .05 * high, base - .74 * high, .2 * high, .18 * high, shade(leaf, 1.12))


Painter = Callable[[Brush, float], None]
GRASS: Colour = (112, 168, 84)


def street(b: Brush, h: float) -> None:
    b.sky(h)
    x = -.02
    walls = ((186, 110, 90), (206, 186, 150), (150, 150, 160), (176, 136, 110), (128, 140, 150))
    while x < b.width:
        w, top, wall = b.u(.16, .27), b.u(.02, h * .45), b.tint(walls[b.rng.integers(5)])
        b.rect(x, top, x + w - .008, h, wall)
        b.rect(x - .004, top, x + w - .004, top + .02, shade(wall, .7))
        pane = (250, 232, 160) if b.rng.random() < .3 else (130, 160, 186)
        y = top + .05
        while y < h - .12:
            for k in range(3):
                b.rect(x + w * (.12 + .28 * k), y, x + w * (.12 + .28 * k) + w * .17, y + .05, pane)
            y += .085
        b.rect(x + w * .38, h - .1, x + w * .6, h, shade(wall, .5))
        x += w
    b.ground(h, b.tint((150, 146, 142)))
    b.rect(0, h + .1, b.width, h + .12, (190, 186, 178))
    for k in range(8):
        b.line((130, 126, 122), .005, k * .18, h, k * .18 - .04, h + .1)


def road(b: Brush, h: float) -> None:
    b.sky(h)
    hill = b.tint((120, 164, 98))
    for _ in range(3):
        x = b.u(0, b.width)
        b.oval(x, h + .05, b.u(.25, .45), b.u(.08, .16), shade(hill, b.u(.8, 1.15)))
    b.ground(h, hill)
    y = h + .13
    b.rect(0, y, b.width, y + .34, b.tint((98, 98, 104), 8))
    b.rect(0, y, b.width, y + .012, (226, 226, 220))
    b.rect(0, y + .33, b.width, y + .345, (226, 226, 220))
    for k in range(7):
        b.rect(.02 + k * .2, y + .16, .12 + k * .2, y + .178, (244, 214, 100))


def beach(b: Brush, h: float) -> None:
    b.sky(h - .08)
    b.fade(h - .08, h + .06, b.tint((52, 134, 190)), (120, 200, 214))
    b.ground(h + .05, b.tint((234, 212, 158)), .88)
    for k in range(14):
        b.oval(k * .09, h + .055, .06, .014, (250, 252, 250))
    for _ in range(26):
        b.oval(b.u(0, b.width), b.u(h + .1, b.height), .006, .004, shade((214, 188, 132), b.u(.8, 1.3)))
    if b.rng.random() < .6:
        x = b.u(.05, .3)
        b.line((140, 100, 62), .025, x, h + .14, x + .03, h - .1, x + .08, h - .24)
        for dx, dy in ((-.12, .02), (-.1, -.07), (.12, .03), (.1, -.06), (.0, -.1)):
            b.line((66, 140, 72), .022, x + .08, h - .24, x + .08 + dx, h - .24 + dy)


def _waves(b: Brush, y0: float, y1: float, colour: Colour) -> None:
    y = y0 + .02
    while y < y1:
        scale = .4 + 1.4 * (y - y0)
        for _ in range(7):
            x = b.u(0, b.width)
            b.line(shade(colour, 1.45 if b.rng.random() < .5 else .82), .008 * scale, x - .05 * scale, y, x,
                   y - .012 * scale, x + .05 * scale, y)
        y += .035 * scale


def ocean(b: Brush, h: float) -> None:
    b.sky(h)
    sea = b.tint((44, 112, 178))
    b.fade(h, b.height, shade(sea, 1.25), shade(sea, .78))
    _waves(b, h, b.height, sea)
    if b.rng.random() < .5:
        b.oval(b.u(0, b.width), h, .16, .04, (126, 150, 120))
        b.rect(0, h, b.width, h + .045, shade(sea, 1.25))


SHORE = .36  # how far below the horizon a lake's near bank or a pool's deck begins


def lake(b: Brush, h: float) -> None:
    b.sky(h)
    for _ in range(3):
        x, w = b.u(0, b.width), b.u(.2, .4)
        b.poly(b.tint((126, 146, 158)), (x - w, h), (x, h - b.u(.1, .22)), (x + w, h))
    leaf = b.tint((64, 118, 72))
    for k in range(15):
        b.tree(k * .085 + b.u(-.02, .02), h + .01, b.u(.09, .17), b.rng.random() < .7, shade(leaf, b.u(.8, 1.1)))
    water = b.tint((88, 150, 170))
    b.fade(h, b.height, shade(water, 1.2), shade(water, .8))
    _waves(b, h, h + SHORE, water)
    b.ground(h + SHORE, b.tint((118, 158, 84)))
    b.rect(0, h + SHORE - .008, b.width, h + SHORE + .006, (196, 180, 130))
    for _ in range(16):
        x = b.u(0, b.width)
        b.line((80, 124, 60), .008, x, h + SHORE + .01, x + b.u(-.02, .02), h + SHORE - .05)


def pool(b: Brush, h: float) -> None:
    wall = b.tint((214, 222, 226))
    b.rect(0, 0, b.width, h, wall)
    for k in range(20):
        b.line(shade(wall, .88), .004, k * .06, 0, k * .06, h)
        b.line(shade(wall, .88), .004, 0, k * .06, b.width, min(k * .06, h))
    for k in range(3):
        b.rect(.1 + k * .4, .12, .36 + k * .4, .32, (166, 214, 236))
    b.rect(0, h - .03, b.width, h, (180, 190, 196))
    b.fade(h, b.height, (96, 206, 222), (52, 162, 200))
    _waves(b, h, h + SHORE, (80, 190, 214))
    for y in (h + .1, h + .23):
        for k in range(32):
            b.oval(k * .04, y, .014, .008, (226, 70, 60) if k % 2 else (246, 246, 246))
    deck = b.tint((216, 200, 176))
    b.ground(h + SHORE, deck, .9)
    b.rect(0, h + SHORE - .012, b.width, h + SHORE + .012, (244, 244, 240))
    for k in range(12):
        b.line(shade(deck, .84), .004, k * .12, h + SHORE, k * .16 - .2, b.height)


def _floor(b: Brush, y: float, colour: Colour) -> None:
    b.ground(y, colour, .85)
    v, step = y, .03
    while v < b.height:
        b.line(shade(colour, .8), .004, 0, v, b.width, v)
        v += step
        step *= 1.35
    for k in range(15):
        x = (k - 1) * .09
        b.line(shade(colour, .8), .004, x, y, (x - b.width / 2) * 1.7 + b.width / 2, b.height)


def kitchen(b: Brush, h: float) -> None:
    wall = b.tint((236, 226, 202))
    b.rect(0, 0, b.width, h + .06, wall)
    for k in range(18):
        b.line(shade(wall, .9), .004, 0, .05 * k, b.width, min(.05 * k, h))
        b.line(shade(wall, .9), .004, k * .07, 0, k * .07, h)
    wood = b.tint((150, 104, 74), 30)
    for k in range(5):
        b.rect(k * .26, .02, k * .26 + .24, .2, shade(wood, 1.2))
        b.oval(k * .26 + .21, .17, .008, .008, (230, 220, 200))
    b.rect(0, h - .12, b.width, h + .08, wood)
    for k in range(6):
        b.line(shade(wood, .7), .005, k * .21, h - .1, k * .21, h + .08)
        b.oval(k * .21 + .17, h - .06, .008, .008, (230, 220, 200))
    b.rect(0, h - .15, b.width, h - .12, b.tint((206, 202, 196)))
    x = b.u(.1, .8)
    b.rect(x, h - .14, x + .2, h + .08, (214, 216, 220))
    b.rect(x + .03, h - .07, x + .17, h + .04, (60, 62, 70))
    for k in range(4):
        b.oval(x + .04 + k * .04, h - .105, .01, .01, (60, 62, 70))
    _floor(b, h + .08, b.tint((206, 170, 130)))


def field(b: Brush, h: float) -> None:
    b.sky(h)
    green = b.tint(GRASS)
    crop = b.tint((214, 190, 96))
    b.oval(b.u(.2, 1), h + .06, .6, .1, shade(green, .84))
    b.ground(h, green)
    b.poly(crop, (0, h + .015), (b.width, h + .03), (b.width, h + .08), (0, h + .055))
    for k in range(14):
        x = k * .09
        b.line((130, 98, 66), .01, x, h + .1, x, h + .04)
    b.line((130, 98, 66), .008, 0, h + .06, b.width, h + .06)
    b.blades(h + .1, green)


def mountain(b: Brush, h: float) -> None:
    b.sky(h)
    for _ in range(4):
        x, w, t = b.u(-.1, b.width), b.u(.24, .42), b.u(.05, h - .2)
        rock = b.tint((118, 128, 150))
        b.poly(rock, (x - w, h + .02), (x, t), (x + w, h + .02))
        b.poly(shade(rock, .8), (x, t), (x + w, h + .02), (x + w * .15, h + .02))
        b.poly((246, 249, 253), (x, t), (x - w * .34, t + (h - t) * .34), (x - w * .1, t + (h - t) * .26),
               (x + .05 * w, t + (h - t) * .38), (x + w * .34, t + (h - t) * .34))
    b.fade(h, b.height, (250, 252, 255), (214, 226, 242))
    for _ in range(8):
        b.tree(b.u(0, b.width), h + b.u(.0, .08), b.u(.1, .2), True, b.tint((48, 96, 80)))
    for _ in range(10):
        x, y = b.u(0, b.width), b.u(h + .1, b.height)
        b.line((200, 214, 234), .008, x, y, x + .12, y + .02)


def forest(b: Brush, h: float) -> None:
    deep = b.tint((58, 104, 68))
    b.fade(0, h + .03, shade(deep, 1.3), shade(deep, .75))
    for _ in range(9):
        b.oval(b.u(0, b.width), b.u(0, .2), .16, .12, shade(deep, b.u(.8, 1.35)))
    earth = b.tint((118, 104, 66))
    b.ground(h, earth)
    for layer, (count, wide) in enumerate(((9, .03), (5, .055))):
        for _ in range(count):
            x, base, bark = b.u(0, b.width), h + .04 + .05 * layer, b.tint((98, 70, 48))
            b.rect(x, 0, x + wide, base, shade(bark, .7 + .3 * layer))
            b.rect(x + wide * .65, 0, x + wide, base, shade(bark, .5 + .25 * layer))
    for _ in range(10):
        x, y = b.u(0, b.width), b.u(h + .06, b.height)
        b.poly(shade(deep, 1.2), (x - .05, y), (x - .03, y - .05), (x, y - .01), (x + .01, y - .07),
               (x + .03, y - .01), (x + .06, y - .04), (x + .06, y))


def garden(b: Brush, h: float) -> None:
    b.sky(h)
    fence = b.tint((240, 236, 226), 10)
    hedge = b.tint((70, 124, 66))
    for k in range(16):
        b.oval(k * .08, h - .02, .075, .07, shade(hedge, b.u(.85, 1.15)))
    for k in range(18):
        b.rect(k * .07, h - .1, k * .07 + .045, h + .05, fence)
        b.poly(fence, (k * .07, h - .1), (k * .07 + .022, h - .13), (k * .07 + .045, h - .1))
    b.rect(0, h - .05, b.width, h - .03, shade(fence, .85))
    green = b.tint((122, 176, 88))
    b.ground(h + .04, green)
    b.blades(h + .06, green, 50)
    for _ in range(34):
        x, y = b.u(0, b.width), h + b.u(.04, .14)
        petal = ((232, 80, 90), (246, 200, 70), (250, 240, 240), (180, 100, 200), (240, 140, 60))[b.rng.integers(5)]
        b.line((70, 120, 60), .006, x, y, x, y + .04)
        b.oval(x, y, .016, .014, petal)
        b.oval(x, y, .005, .005, (250, 220, 90))


def _window(b: Brush, x: float, y: float, w: float, t: float) -> None:
    b.rect(x - .02, y - .02, x + w + .02, y + t + .02, (246, 242, 234))
    b.rect(x, y, x + w, y + t, (170, 212, 236))
    b.rect(x + w / 2 - .008, y, x + w / 2 + .008, y + t, (246, 242, 234))


def bedroom(b: Brush, h: float) -> None:
    wall = b.tint((196, 184, 214), 30)
    b.rect(0, 0, b.width, h + .05, wall)
    for k in range(18):
        b.line(shade(wall, 1.2), .012, k * .07, 0, k * .07, h)
    x = b.u(.1, .7)
    _window(b, x, .08, .26, .24)
    curtain = b.tint((206, 110, 110), 40)
    for side in (x - .1, x + .26):
        b.poly(curtain, (side, .03), (side + .1, .03), (side + .08, .4), (side + .02, .4))
    x = (x + .6) % 1.0
    b.rect(x, h - .2, x + .26, h + .07, b.tint((150, 104, 70)))
    for k in range(3):
        b.line((100, 70, 48), .006, x, h - .11 + .07 * k, x + .26, h - .11 + .07 * k)
        b.oval(x + .13, h - .15 + .07 * k, .009, .009, (230, 200, 120))
    b.poly((250, 230, 170), (x + .06, h - .27), (x + .2, h - .27), (x + .17, h - .36), (x + .09, h - .36))
    b.rect(x + .12, h - .27, x + .14, h - .2, (150, 130, 100))
    _floor(b, h + .05, b.tint((170, 126, 90)))
    b.oval(.6, h + .38, .5, .14, b.tint((196, 150, 150), 40))


def library(b: Brush, h: float) -> None:
    wood = b.tint((120, 78, 50))
    b.rect(0, 0, b.width, h + .08, shade(wood, .6))
    y = .02
    while y < h:
        x = 0.0
        while x < b.width:
            w, t = b.u(.018, .04), b.u(.09, .13)
            if b.rng.random() > .05:
                b.rect(x, y + .135 - t, x + w - .003, y + .135, b.tint((140, 100, 90), 80))
            x += w
        b.rect(0, y + .135, b.width, y + .155, wood)
        y += .155
    for k in range(4):
        b.rect(k * .4 + .05, 0, k * .4 + .08, h + .08, shade(wood, 1.15))
    _floor(b, h + .08, b.tint((140, 100, 66)))
    b.rect(0, h + .3, b.width, h + .5, b.tint((140, 60, 60), 25))


def stage(b: Brush, h: float) -> None:
    cloth = b.tint((140, 34, 44), 26)
    b.rect(0, 0, b.width, h + .06, shade(cloth, .75))
    for k in range(17):
        x = k * .075
        b.rect(x, 0, x + .03, h + .06, cloth)
        b.rect(x + .03, 0, x + .042, h + .06, shade(cloth, .5))
    for k in range(8):
        b.oval(k * .17, .02, .1, .09, shade(cloth, .9))
        b.oval(k * .17, .095, .085, .012, (226, 180, 80))
    wood = b.tint((150, 104, 70))
    b.ground(h + .06, shade(wood, .8), .9)
    x = b.width / 2
    for k in range(4):
        b.oval(x, h + .36, .52 - .07 * k, .2 - .025 * k, shade(wood, .95 + .18 * k))
    for k in range(7):
        b.line(shade(wood, .62), .004, 0, h + .08 + k * k * .014, b.width, h + .08 + k * k * .014)


def gym(b: Brush, h: float) -> None:
    wall = b.tint((206, 206, 196))
    b.rect(0, 0, b.width, h + .05, wall)
    for j in range(7):
        for k in range(8):
            b.line(shade(wall, .9), .004, (k + (j % 2) * .5) * .16, j * .08, (k + (j % 2) * .5) * .16, j * .08 + .08)
        b.line(shade(wall, .9), .004, 0, j * .08, b.width, j * .08)
    x = b.u(.2, .8)
    b.rect(x, .1, x + .24, .26, (250, 250, 248))
    b.rect(x + .07, .16, x + .17, .24, (206, 60, 50))
    b.rect(x + .08, .17, x + .16, .24, (250, 250, 248))
    b.rect(x + .06, .26, x + .18, .275, (230, 100, 40))
    for k in range(5):
        b.line((236, 236, 236), .005, x + .07 + k * .025, .27, x + .09 + k * .015, .35)
    x = (x + .55) % 1.0
    for k in range(8):
        b.rect(x - .02, .1 + k * .05, x + .2, .115 + k * .05, (170, 120, 70))
    b.rect(0, h - .02, b.width, h + .05, b.tint((60, 100, 160), 30))
    floor = b.tint((216, 166, 102))
    _floor(b, h + .05, floor)
    b.pen.arc(b.xy(.15, h + .12, b.width - .15, h + .6), 180, 360, fill=(250, 250, 250),
              width=max(1, round(.014 * b.side)))
    b.rect(0, h + .2, b.width, h + .214, (60, 100, 170))


def workshop(b: Brush, h: float) -> None:
    wall = b.tint((176, 158, 132))
    b.rect(0, 0, b.width, h + .06, wall)
    board = b.tint((150, 118, 84))
    b.rect(.06, .05, b.width - .06, h - .17, board)
    for j in range(9):
        for k in range(30):
            if .07 + j * .04 < h - .18:
                b.oval(.09 + k * .036, .07 + j * .04, .004, .004, shade(board, .6))
    for k in range(7):
        x, metal = .12 + k * .15 + b.u(0, .04), (150, 156, 166) if k % 2 else (196, 80, 60)
        b.rect(x, .2, x + .022, .2 + b.u(.1, .16), (120, 80, 50) if k % 2 else (60, 60, 66))
        b.rect(x - .025, .185, x + .05, .22, metal)
    bench = b.tint((134, 96, 62))
    b.rect(0, h - .1, b.width, h - .055, shade(bench, 1.15))
    b.rect(0, h - .055, b.width, h + .07, shade(bench, .6))
    for k in range(5):
        b.rect(k * .3, h - .055, k * .3 + .03, h + .07, bench)
    b.ground(h + .07, b.tint((144, 140, 134), 8), .85)
    for _ in range(24):
        x, y = b.u(0, b.width), b.u(h + .1, b.height)
        b.line((196, 166, 120), .008, x, y, x + .02, y + b.u(-.01, .01))


def desert(b: Brush, h: float) -> None:
    b.sky(h)
    b.oval(b.u(.1, 1.1), b.u(.08, .2), .06, .06, (255, 240, 190))
    sand = b.tint((226, 182, 112))
    b.rect(0, h - .02, b.width, h + .05, shade(sand, .86))
    for k in range(3):
        x = b.u(0, b.width)
        b.poly(shade(sand, .82 + .1 * k), (x - .7, h + .08), (x, h - .12 + .05 * k), (x + .16, h - .05 + .04 * k),
               (x + .8, h + .08))
    b.ground(h + .02, sand)
    for _ in range(9):
        x, y = b.u(0, b.width), b.u(h + .08, b.height)
        b.line(shade(sand, .84), .008, x - .09, y, x - .03, y - .014, x + .03, y, x + .09, y - .01)
    for _ in range(2):
        x, y, t = b.u(.05, b.width), h + b.u(.06, .12), b.u(.14, .22)
        b.line((70, 130, 76), .04, x, y, x, y - t)
        b.line((70, 130, 76), .026, x - .07, y - t * .75, x - .07, y - t * .5, x, y - t * .42)
        b.line((70, 130, 76), .026, x + .065, y - t * .9, x + .065, y - t * .62, x, y - t * .55)
