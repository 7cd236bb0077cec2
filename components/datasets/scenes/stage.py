"""The stage of one image: where the figure stands, the layers things are drawn in, and small effects such as water."""

import math
from dataclasses import dataclass

import numpy as np

from . import animals, things, tools, vehicles
from .figure import Figure, paint_arm, paint_head, paint_leg, paint_trunk
from .shapes import Canvas, Colour, Sprite, curve, inner, oval, rect, shade, smooth, sprite, sprite_colours, stroke

Point = tuple[float, float]

ART: dict[str, Sprite] = {**vehicles.VEHICLES, **animals.ANIMALS, **tools.LONG_TOOLS, **tools.SHORT_TOOLS,
                          **things.VESSELS, **things.FOODS, **things.NATURE, **things.GOODS}
LONG = frozenset(tools.LONG_TOOLS)
# Things gripped at the origin and pointed; everything else is carried upright.
POINTED = LONG | {"brush", "paintbrush", "pen", "pencil", "hammer", "wrench", "saw", "knife", "spoon", "fork", "hose"}
BULKY = frozenset({*vehicles.VEHICLES, *animals.ANIMALS, "tree", "bush", "wall", "fence", "picture", "bed", "sofa",
                   "barbell", "plank", "log", "harp"})

FURNITURE_WOOD: tuple[Colour, ...] = ((150, 104, 66), (120, 84, 56), (190, 150, 104), (96, 100, 112))
TABLE = sprite(rect("m", -.5, .09, -.42, .9), rect("m", .42, .09, .5, .9), rect("l", -.58, 0, .58, .1),
               hues=FURNITURE_WOOD)
STUMP = sprite(rect("m", -.4, 0, .4, .8), oval("l", 0, 0, .4, .1), hues=((134, 98, 64), (150, 112, 76)))
STOOL = sprite(stroke("d", .1, (-.34, .05), (-.42, .9)), stroke("d", .1, (.34, .05), (.42, .9)),
               stroke("d", .07, (-.38, .5), (.38, .5)), rect("m", -.5, -.02, .5, .12), hues=FURNITURE_WOOD)
CHAIR = sprite(stroke("d", .1, (-.42, .05), (-.46, .95)), stroke("d", .1, (.38, .05), (.42, .95)),
               stroke("m", .12, (-.44, .05), (-.56, -.85)), rect("m", -.5, -.03, .48, .11), hues=FURNITURE_WOOD)
BRANCH = sprite(curve("brown", .06, (-.9, -.34), (-.3, -.2), (.3, .0)), *(oval("m" if k % 2 else "d", x, y, .2, .12,
    t) for k, (x, y, t) in enumerate(((-.7, -.16, 20), (-.4, -.4, -30), (-.2, -.04, 30), (.06, -.26, -20),
                                      (.3, -.12, 40), (-.56, -.46, 10)))),
                hues=((70, 140, 66), (96, 156, 60)))
MESH = sprite(rect("d", -.34, -1, .34, -.94), *(stroke("m", .035, (x, -.98), (x, 1))
                                                for x in (-.33, -.16, 0, .16, .33)), *(stroke("m", .035, (-.34, y),
                                                    (.34, y)) for y in (-.75, -.5, -.25, 0, .25, .5, .75, 1)),
                                                    hues=((196, 160, 104), (90, 110, 150)))
WAVE = sprite(smooth("m", (-1, .1), (-.8, -.06), (-.5, -.3), (-.1, -.5), (.28, -.52), (.5, -.36), (.48, -.22),
                     (.34, -.32), (.24, -.2), (.4, .0), (.8, .06), (1, .1), (0, .14), steps=4),
              inner(smooth("l", (-.72, .02), (-.3, -.26), (.1, -.36), (.1, -.26), (-.2, -.08), (-.4, .06))),
              *(oval("white", x, y, r) if not k else inner(oval("white", x, y, r)) for k,
                (x, y, r) in enumerate(((.1, -.52, .07), (.26, -.53, .08), (.4, -.46, .08), (.5, -.34, .08),
                                        (.48, -.22, .06), (-.04, -.48, .05)))),
              hues=((70, 150, 200), (60, 130, 190), (90, 170, 196)))
LINE = sprite(stroke("m", .1, (0, -1), (.03, -.5), (-.03, 0), (.03, .5), (0, .9)),
              *(stroke("d", .03, (-.04, y), (.05, y - .05)) for y in (-.8, -.6, -.4, -.2, 0, .2, .4, .6)),
              stroke("d", .16, (0, .86), (0, .98)), hues=((206, 168, 110), (184, 150, 100)))


@dataclass
class Piece:
    """One drawing waiting for its turn."""

    owner: str
    art: Sprite
    x: float
    y: float
    scale: float
    flip: int
    turn: float
    colours: dict[str, Colour]


class Stage:
    """Everything about the image being composed. Lengths are canvas pixels; `f` is the facing, 1 right or -1 left."""

    def __init__(self, canvas: Canvas, figure: Figure, ground: float, water: str, rng: np.random.Generator) -> None:
        self.canvas, self.figure, self.ground, self.water, self.rng = canvas, figure, ground, water, rng
        self.side, self.f, self.h = canvas.side, figure.flip, figure.height
        self.layers: dict[str, list[Piece]] = {name: [] for name in ("behind", "prop", "between", "hand", "over")}
        self.strands: list[tuple[str, str, Point, Point]] = []
        self.drops: list[tuple[Point, Point]] = []
        self.waterline: tuple[float, float, float] | None = None
        self.sea: Colour = (0, 0, 0)
        self.boxes: dict[str, tuple[float, float, float, float]] = {}
        self.nouns: dict[str, str] = {}
        self.table_top = 0.0

    def u(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def length(self, name: str, low: float = .24, high: float = .34, least: float = .2, most: float = .38) -> float:
        """A fitting length of a thing: the sprite's own share of a random size, within bounds (shares of the side)."""
        return min(max(self.u(low, high) * ART[name].size, least), most) * self.side

    def big(self, name: str, low: float = .36, high: float = .44) -> float:
        """Length of something standing about: animals and other bulky things are larger than hand-sized ones."""
        return self.length(name, low, high, .3, .54) if name in BULKY else self.length(name, .26, .36)

    def put(self, layer: str, owner: str, name: str | Sprite, x: float, y: float, scale: float, turn: float = 0.0,
            flip: int = 0) -> Piece:
        """Queue a sprite with its origin at (x, y); `turn` in degrees towards the front."""
        art = ART[name] if isinstance(name, str) else name
        piece = Piece(owner, art, x, y, scale, flip or self.f, math.radians(turn), sprite_colours(art, self.rng))
        self.layers[layer].append(piece)
        return piece

    def stand(self, layer: str, owner: str, name: str, x: float, foot: float, scale: float, flip: int = 0) -> Piece:
        """Queue a sprite so that it is centred on x and stands on the height `foot`."""
        x0, _, x1, y1 = ART[name].box
        flip = flip or self.f
        return self.put(layer, owner, name, x - flip * (x0 + x1) / 2 * scale, foot - y1 * scale, scale, 0.0, flip)

    def centre(self, layer: str, owner: str, name: str, x: float, y: float, scale: float, turn: float = 0.0) -> Piece:
        """Queue a sprite with the middle of its box at (x, y)."""
        x0, y0, x1, y1 = ART[name].box
        cx, cy = (x0 + x1) / 2 * scale, (y0 + y1) / 2 * scale
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        return self.put(layer, owner, name, x - self.f * (cx * cos - cy * sin), y - (cx * sin + cy * cos), scale, turn)

    def spot(self, piece: Piece, name: str) -> Point:
        """Canvas point of a named spot of a queued sprite; its origin if it has no such spot."""
        x, y = piece.art.spots.get(name, (0.0, 0.0))
        cos, sin = math.cos(piece.turn) * piece.scale, math.sin(piece.turn) * piece.scale
        return piece.x + piece.flip * (x * cos - y * sin), piece.y + x * sin + y * cos

    def top(self, piece: Piece) -> float:
        return piece.y + piece.art.box[1] * piece.scale

    def reach(self, near: Point | None = None, far: Point | None = None) -> None:
        """Pin the hands and settle them now, so that later placements see them where they will be."""
        if near is not None:
            self.figure.goals["near_hand"] = near
        if far is not None:
            self.figure.goals["far_hand"] = far
        self.figure.pin()

    def hand(self, side: str = "near") -> Point:
        return self.figure.joints[f"{side}_hand"]

    # Painting

    def paint(self) -> None:
        """Paint all layers and the figure between them."""
        canvas, figure = self.canvas, self.figure
        figure.pin()
        if self.waterline:
            x, y, _ = self.waterline
            self.sea = canvas.colour_around(min(max(int(x), 0), self.side - 1), min(max(int(y), 0), self.side - 1))
        self._layer("behind")
        self._shadow()
        self._layer("prop")
        canvas.label("agent")
        paint_arm(canvas, figure, "far")
        paint_leg(canvas, figure, "far")
        self._layer("between")
        canvas.label("agent")
        paint_leg(canvas, figure, "near")
        paint_trunk(canvas, figure)
        paint_head(canvas, figure)
        for owner, name, start, end in self.strands:
            self._strand(owner, name, start, end)
        self._layer("hand")
        canvas.label("agent")
        paint_arm(canvas, figure, "near")
        self._layer("over")
        for start, end in self.drops:
            self._stream(start, end)
        if self.waterline:
            self._water(*self.waterline)

    def _layer(self, name: str) -> None:
        for piece in self.layers[name]:
            self.canvas.label(piece.owner)
            self.canvas.paint(piece.art, piece.x, piece.y, piece.scale, piece.flip, piece.turn, piece.colours)

    def _shadow(self) -> None:
        if self.waterline:
            return
        xs = [self.figure.joints[j][0] for j in ("near_foot", "far_foot", "hip")]
        x0, x1 = min(xs) - .1 * self.h, max(xs) + .1 * self.h
        self.canvas.shadow(x0, self.ground - .03 * self.h, x1, self.ground + .03 * self.h)

    def _strand(self, owner: str, name: str, start: Point, end: Point) -> None:
        colour, width = {"rope": ((206, 168, 110), .03), "leash": ((196, 60, 60), .02), "hose": ((64, 150, 74), .04),
                         "net": ((90, 110, 150), .05)}.get(name, ((206, 168, 110), .025))
        sag = min(.12 * abs(end[0] - start[0]), .1 * self.h)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + sag
        line = curve("m", width * self.h, start, middle, end).points
        self.canvas.label(owner)
        self.canvas.fill([v for p in line for v in p], colour)
        xs, ys = [p[0] for p in line], [p[1] for p in line]
        self.canvas.note(min(xs), min(ys), max(xs), max(ys))

    def _stream(self, start: Point, end: Point) -> None:
        line = curve("m", .035 * self.h, start, ((start[0] * .45 + end[0] * .55),
                                                 start[1] + (end[1] - start[1]) * .3), end).points
        self.canvas.label("effect")
        self.canvas.fill([v for p in line for v in p], (130, 196, 240))

    def _water(self, x: float, y: float, width: float) -> None:
        """A band of water with a foam edge in front of whatever floats, hiding its lowest part."""
        canvas, f = self.canvas, .008 * self.side
        base = self.sea
        n = 28
        crest = [(x - width / 2 + width * k / n, y + (0, f, 0, -f)[k % 4]) for k in range(n + 1)]
        low = [(x + width * .42, y + 7 * f), (x - width * .42, y + 7 * f)]
        canvas.label("-")
        canvas.fill([v for p in (*crest, *low) for v in p], base)
        foam = [(px_, py_ - 1.2 * f) for px_, py_ in crest] + [(px_, py_ + .5 * f) for px_, py_ in reversed(crest)]
        canvas.fill([v for p in foam for v in p], shade(base, 1.7))
