"""Articulated people: a skeleton from joint angles, hands and feet that go where they are needed, and the painting."""

import math
from dataclasses import dataclass, field

import numpy as np

from .poses import Pose
from .shapes import Canvas, Colour, Shape, Sprite, curve, inner, oval, shade, smooth, sprite

Point = tuple[float, float]

SKINS: tuple[Colour, ...] = ((246, 212, 184), (232, 186, 148), (200, 148, 108), (150, 102, 70), (104, 70, 50))
HAIRS: tuple[Colour, ...] = ((44, 34, 30), (92, 58, 36), (150, 96, 50), (222, 184, 98), (172, 74, 40))
GREYS: tuple[Colour, ...] = ((206, 206, 208), (170, 170, 174))
CLOTHES: tuple[Colour, ...] = ((204, 66, 60), (60, 110, 190), (70, 150, 96), (236, 186, 70), (138, 86, 166),
                               (236, 130, 80), (240, 240, 236),
                               (70, 76, 92), (60, 160, 170), (230, 130, 170))
TROUSERS: tuple[Colour, ...] = ((62, 76, 110), (88, 92, 104), (120, 96, 70), (50, 52, 60), (96, 120, 150),
                                (150, 130, 100))
SHOES: tuple[Colour, ...] = ((54, 46, 44), (120, 74, 44), (230, 230, 228), (190, 60, 56))

# Lengths as shares of the body height.
TRUNK, UPPER_ARM, FOREARM, THIGH, SHIN = .30, .165, .16, .235, .235


def _face(*more: Shape) -> tuple[Shape, ...]:
    """Face looking right: skin, ear, eyes, brows, nose, mouth; unit radius about 1, chin down."""
    return (oval("skin", .06, .06, .9, .98), inner(oval("skin", .92, .2, .16, .13)),
            inner(oval("skinshade", -.3, .14, .16, .22)),
            inner(oval("white", .34, -.02, .16, .18)), inner(oval("white", .74, -.02, .12, .17)),
            inner(oval("black", .4, .0, .09, .13)), inner(oval("black", .77, .0, .075, .12)),
            inner(curve("hairshade", .08, (.18, -.27), (.34, -.33), (.48, -.27))),
            inner(curve("hairshade", .08, (.66, -.27), (.78, -.3), (.86, -.25))),
            inner(curve("lip", .09, (.34, .5), (.54, .58), (.74, .5))), inner(oval("blush", .16, .36, .15, .1)), *more)


_CAP = smooth("hair", (-.9, .3), (-1.0, -.3), (-.7, -.86), (0, -1.08), (.66, -.86), (.96, -.3), (.6, -.52),
              (.1, -.6), (-.34, -.34), (-.5, .1), (-.62, .4), steps=3)
_LONG_BACK = smooth("hair", (-.1, -1.1), (.7, -.7), (.5, .3), (-.1, 1.2), (-.7, 1.75), (-1.2, 1.5), (-1.2, .3),
                    (-1.0, -.6), steps=3)
_BOB_BACK = smooth("hair", (0, -1.12), (.8, -.6), (.5, .4), (.1, 1.0), (-.8, 1.0), (-1.16, .5), (-1.05, -.5), steps=3)

HEADS: dict[str, tuple[Sprite, ...]] = {
    "man": (sprite(*_face(_CAP)), sprite(*_face(_CAP, smooth("hair", (-.5, .3), (-.1, .56), (.3, .42), (.56, .38),
                                                             (.9, .44), (.74, .98), (.3, 1.16), (-.2, .96), steps=3),
                                                             inner(curve("lip", .1, (.4, .66), (.56, .7),
                                                                 (.72, .66))))),
            sprite(*_face(smooth("hair", (-.92, .34), (-.98, -.2), (-.74, -.6), (-.5, -.3), (-.5, .2), steps=3))),
            sprite(*_face(_CAP, inner(curve("hair", .14, (.3, .38), (.54, .34), (.8, .4)))))),
    "woman": (sprite(_LONG_BACK, *_face(_CAP)), sprite(_BOB_BACK, *_face(smooth("hair", (-.95, .5), (-1.0, -.4),
        (-.5, -1.0), (.3, -1.1), (.94, -.5), (.9, -.3), (.2, -.5), (-.2, -.3), (-.4, .5), steps=3))),
              sprite(oval("hair", -.72, -.9, .46), *_face(_CAP)), sprite(smooth("hair", (-.7, -.6), (-1.2, -.5),
                  (-1.7, .4), (-1.5, 1.2), (-1.3, .4), (-.9, .1), steps=3), *_face(_CAP))),
    "boy": (sprite(*_face(smooth("hair", (-.9, .2), (-1.0, -.4), (-.6, -1.0), (-.3, -1.2), (.1, -1.0), (.5, -1.14),
                                 (.98, -.5), (.7, -.4), (.3, -.56), (-.3, -.4), (-.5, .1), steps=3))),
            sprite(*_face(smooth("cap", (-.96, -.24), (-.8, -.82), (0, -1.14), (.8, -.8), (.96, -.3), (0, -.36),
                                 steps=3), smooth("capshade", (.3, -.46), (1.0, -.5), (1.5, -.3), (1.0, -.24),
                                                  (.3, -.24), steps=3)))),
    "girl": (sprite(smooth("hair", (-.8, -.5), (-1.5, -.5), (-1.7, .3), (-1.45, .9), (-1.1, .2), (-.8, .1), steps=3),
                    *_face(_CAP, oval("cap", -.92, -.32, .2))), sprite(_BOB_BACK, *_face(_CAP)),
             sprite(oval("hair", -.9, -.66, .42), oval("hair", .5, -.98, .36), *_face(_CAP))),
}
LIDS = sprite(oval("skin", .34, -.02, .18, .2), inner(oval("skin", .75, -.02, .14, .19)),
              *(inner(curve("black", .09, (x - .15, .02), (x, .1), (x + .13, .02))) for x in (.34, .75)))


@dataclass
class Person:
    """Looks of one person: colours by part, head drawing and build (height factor and head radius)."""

    kind: str
    head: Sprite
    colours: dict[str, Colour]
    skirt: bool
    sleeves: bool
    stature: float
    head_radius: float


def random_person(kind: str, rng: np.random.Generator) -> Person:
    """Dress a person of a kind (man, woman, boy, girl) at random; a third of the adults are old and grey."""
    child = kind in ("boy", "girl")
    skin = SKINS[rng.integers(len(SKINS))]
    hair = HAIRS[rng.integers(len(HAIRS))]
    if not child and rng.random() < .3:
        hair = GREYS[rng.integers(len(GREYS))]
    shirt, cap = CLOTHES[rng.integers(len(CLOTHES))], CLOTHES[rng.integers(len(CLOTHES))]
    legs = TROUSERS[rng.integers(len(TROUSERS))]
    heads = HEADS[kind]
    skirt = kind in ("woman", "girl") and rng.random() < .6
    colours = {"skin": skin, "skinshade": shade(skin, .84), "hair": hair, "hairshade": shade(hair, .6),
               "lip": shade(skin, .55), "cap": cap, "capshade": shade(cap, .7),
               "blush": tuple((a + b) // 2 for a, b in zip(skin, (230, 110, 100), strict=True)), "shirt": shirt,
               "shirtshade": shade(shirt, .78), "legs": legs, "legshade": shade(legs, .74),
               "shoes": SHOES[rng.integers(len(SHOES))], "skirt": cap if cap != shirt else shade(shirt, .8)}
    return Person(kind, heads[rng.integers(len(heads))], colours, skirt, bool(rng.random() < .5),
                  .76 if child else 1.0, .115 if child else .092)


def _swing(start: Point, degrees: float, length: float, flip: int) -> Point:
    angle = math.radians(degrees)
    return start[0] + flip * math.sin(angle) * length, start[1] + math.cos(angle) * length


def _reach(root: Point, goal: Point, first: float, second: float, bend: int) -> tuple[Point, Point]:
    """Two-part limb from root towards goal: its middle and end joint. `bend` is the side the middle joint goes to."""
    dx, dy = goal[0] - root[0], goal[1] - root[1]
    distance = math.hypot(dx, dy) or 1e-6
    length = min(max(distance, abs(first - second) + .01 * first), (first + second) * .995)
    ux, uy = dx / distance, dy / distance
    along = (length * length + first * first - second * second) / (2 * length)
    across = math.sqrt(max(first * first - along * along, 0.0)) * bend
    middle = root[0] + ux * along - uy * across, root[1] + uy * along + ux * across
    return middle, (root[0] + ux * length, root[1] + uy * length)


@dataclass
class Figure:
    """A posed person on the canvas. Joints are canvas points; `goals` may pin hands and feet before painting."""

    person: Person
    height: float
    flip: int
    pose: Pose
    joints: dict[str, Point]
    goals: dict[str, Point] = field(default_factory=dict)

    def move(self, dx: float, dy: float) -> None:
        self.joints = {name: (x + dx, y + dy) for name, (x, y) in self.joints.items()}

    def at(self, joint: str, forward: float = 0.0, down: float = 0.0) -> Point:
        """A point next to a joint, in shares of the body height."""
        x, y = self.joints[joint]
        return x + self.flip * forward * self.height, y + down * self.height

    def lowest(self) -> float:
        """The y of the lowest point of the body."""
        return max(y for _, y in self.joints.values()) + .035 * self.height

    def pin(self) -> None:
        """Put pinned hands and feet in place, as far as the limbs reach."""
        h, f = self.height, self.flip
        for side in ("near", "far"):
            if f"{side}_hand" in self.goals:
                elbow, hand = _reach(self.joints["shoulder"], self.goals[f"{side}_hand"], UPPER_ARM * h, FOREARM * h, f)
                self.joints[f"{side}_elbow"], self.joints[f"{side}_hand"] = elbow, hand
            if f"{side}_foot" in self.goals:
                knee, foot = _reach(self.joints["hip"], self.goals[f"{side}_foot"], THIGH * h, SHIN * h, -f)
                self.joints[f"{side}_knee"], self.joints[f"{side}_foot"] = knee, foot


def pose_figure(person: Person, pose: Pose, height: float, flip: int, rng: np.random.Generator) -> Figure:
    """Build the skeleton with the hip at (0, 0), each joint a little off the book."""
    off = (rng.random(9) - .5) * 2
    h = height * person.stature
    lean = pose.lean + 4 * off[0]
    hip = (0.0, 0.0)
    neck = _swing(hip, 180 - lean, TRUNK * h, flip)
    shoulder = _swing(hip, 180 - lean, TRUNK * .9 * h, flip)
    nod = lean * (.75 if abs(lean) < 70 else (.9 if lean < 0 else .55))
    head = _swing(neck, 180 - nod, (person.head_radius * .98) * h, flip)
    joints = {"hip": hip, "neck": neck, "shoulder": shoulder, "head": head}
    for k, (side, arm, leg) in enumerate((("near", pose.near_arm, pose.near_leg), ("far", pose.far_arm, pose.far_leg))):
        a, b, c, d = (float(v) for v in off[1 + 4 * k:5 + 4 * k])
        elbow = _swing(shoulder, arm[0] + 7 * a, UPPER_ARM * h, flip)
        knee = _swing(hip, leg[0] + 5 * c, THIGH * h, flip)
        joints[f"{side}_elbow"], joints[f"{side}_hand"] = elbow, _swing(elbow, arm[0] + arm[1] + 7 * (a + b),
            FOREARM * h, flip)
        joints[f"{side}_knee"], joints[f"{side}_foot"] = knee, _swing(knee, leg[0] + leg[1] + 5 * (c + d), SHIN * h,
            flip)
    return Figure(person, h, flip, pose, joints)


def _taper(p: Point, q: Point, start: float, end: float) -> list[float]:
    """Outline of a limb part from p to q, half widths `start` and `end`, with rounded ends."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    length = math.hypot(dx, dy) or 1e-6
    ux, uy = dx / length, dy / length
    a, b, c, d = start * ux, start * uy, end * ux, end * uy
    k = .7071
    return [p[0] - b, p[1] + a, p[0] - k * (a + b), p[1] + k * (a - b), p[0] - a, p[1] - b, p[0] + k * (b - a),
            p[1] - k * (a + b), p[0] + b, p[1] - a,
            q[0] + d, q[1] - c, q[0] + k * (c + d), q[1] + k * (d - c), q[0] + c, q[1] + d, q[0] + k * (c - d),
            q[1] + k * (c + d), q[0] - d, q[1] + c]


def paint_arm(canvas: Canvas, figure: Figure, side: str) -> None:
    """One arm with its hand; the far one is darker."""
    h, joints, colours = figure.height, figure.joints, figure.person.colours
    far = side == "far"
    sleeve = colours["shirtshade" if far else "shirt"]
    skin = colours["skinshade" if far else "skin"]
    shoulder, elbow, hand = joints["shoulder"], joints[f"{side}_elbow"], joints[f"{side}_hand"]
    canvas.fill(_taper(elbow, hand, .033 * h, .027 * h), sleeve if figure.person.sleeves else skin)
    canvas.fill(_taper(shoulder, elbow, .046 * h, .036 * h), sleeve, True)
    canvas.fill(_dot(hand, .036 * h), skin, True)
    _note(canvas, (elbow, hand), .036 * h)


def _dot(centre: Point, r: float) -> list[float]:
    x, y = centre
    k = .7071 * r
    return [x - r, y, x - k, y - k, x, y - r, x + k, y - k, x + r, y, x + k, y + k, x, y + r, x - k, y + k]


def _note(canvas: Canvas, points: tuple[Point, ...], r: float) -> None:
    canvas.note(min(p[0] for p in points) - r, min(p[1] for p in points) - r, max(p[0] for p in points) + r,
                max(p[1] for p in points) + r)


def paint_leg(canvas: Canvas, figure: Figure, side: str) -> None:
    """One leg with its shoe; the far one is darker."""
    h, f, joints, colours = figure.height, figure.flip, figure.joints, figure.person.colours
    cloth = colours["legshade" if side == "far" else "legs"]
    bare = figure.person.skirt
    hip, knee, foot = joints["hip"], joints[f"{side}_knee"], joints[f"{side}_foot"]
    lower = colours["skinshade" if side == "far" else "skin"] if bare else cloth
    canvas.fill(_taper(knee, foot, .044 * h, .032 * h), lower)
    canvas.fill(_taper(hip, knee, .062 * h, .047 * h), lower if bare else cloth, True)
    dx, dy = foot[0] - knee[0], foot[1] - knee[1]
    length = math.hypot(dx, dy) or 1e-6
    # The toe points square to the shin, towards the front of the body.
    tx, ty = f * dy / length, -f * dx / length
    toe = foot[0] + tx * .075 * h, foot[1] + ty * .075 * h
    canvas.fill(_taper((foot[0] - tx * .015 * h, foot[1] - ty * .015 * h), toe, .036 * h, .028 * h), colours["shoes"])
    _note(canvas, (knee, foot, toe), .036 * h)


def paint_trunk(canvas: Canvas, figure: Figure) -> None:
    """Trunk with a shaded back, the skirt if there is one, and a belt line."""
    h, f, joints, colours = figure.height, figure.flip, figure.joints, figure.person.colours
    hip, neck, shoulder = joints["hip"], joints["neck"], joints["shoulder"]
    ux, uy = (neck[0] - hip[0]) / (TRUNK * h), (neck[1] - hip[1]) / (TRUNK * h)
    px, py = -uy * f, ux * f  # towards the chest
    wide = .082 if figure.person.kind in ("man", "boy") else .072
    canvas.fill(_taper(neck, (neck[0] + ux * .05 * h, neck[1] + uy * .05 * h), .036 * h, .034 * h),
                colours["skinshade"])
    outline = []
    for along, across in ((-.02, -.062), (.1, -.064), (.24, -wide), (.285, -.06), (.305, 0), (.285, .055),
                          (.22, wide), (.1, .07), (-.02, .07)):
        outline += [hip[0] + (ux * along + px * across) * h, hip[1] + (uy * along + py * across) * h]
    canvas.fill(outline, colours["shirt"])
    back = []
    for along, across in ((-.02, -.062), (.1, -.064), (.24, -wide), (.285, -.06), (.2, -.03), (.08, -.025),
                          (-.02, -.02)):
        back += [hip[0] + (ux * along + px * across) * h, hip[1] + (uy * along + py * across) * h]
    canvas.fill(back, colours["shirtshade"], True)
    if figure.person.skirt:
        hem = []
        for side in ("near", "far"):
            knee = joints[f"{side}_knee"]
            hem.append((hip[0] + (knee[0] - hip[0]) * .85, hip[1] + (knee[1] - hip[1]) * .85))
        (ax, ay), (bx, by) = sorted(hem) if f > 0 else sorted(hem, reverse=True)
        grow = .055 * h * f
        canvas.fill([hip[0] - px * .066 * h + ux * .04 * h, hip[1] - py * .066 * h + uy * .04 * h, ax - grow,
                     ay + .01 * h, (ax + bx) / 2, max(ay, by) + .03 * h, bx + grow, by + .01 * h,
                     hip[0] + px * .074 * h + ux * .04 * h, hip[1] + py * .074 * h + uy * .04 * h], colours["skirt"])
    _note(canvas, (hip, neck, shoulder), .07 * h)


def paint_head(canvas: Canvas, figure: Figure) -> None:
    """The head, tilted with the trunk; the eyes of those who lie on their back are shut."""
    h, joints = figure.height, figure.joints
    neck, head = joints["neck"], joints["head"]
    turn = math.atan2(figure.flip * (head[0] - neck[0]), neck[1] - head[1])
    if figure.pose.rest == "front":
        turn *= .5  # a swimmer looks ahead, not at the bottom
    radius = figure.person.head_radius * h
    art = figure.person.head
    canvas.paint(art, head[0], head[1], radius * art.unit, figure.flip, turn, figure.person.colours)
    if figure.pose.rest == "back":
        canvas.paint(LIDS, head[0], head[1], radius * LIDS.unit, figure.flip, turn, figure.person.colours)
