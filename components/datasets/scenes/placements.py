"""Placements: for every way a thing can take part in a scene, where it goes and what the hands and feet do about it.

Each function gets the stage, the role and the noun's short name. "Whole" placements carry the body (vehicles, beds) and
run first; then things that stand about; then things in the hands, which look at what is already there.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from .animals import ANIMALS
from .shapes import ACCENTS
from .stage import ART, BRANCH, BULKY, LINE, LONG, MESH, POINTED, STUMP, TABLE, WAVE, Piece, Stage

Point = tuple[float, float]
Placement = Callable[[Stage, str, str], None]
ROPELIKE = frozenset({"rope", "leash", "hose", "net"})


def _mark(s: Stage, role: str, piece: Piece) -> None:
    """Remember a role's box on the canvas, for placements that refer to it."""
    x0, y0, x1, y1 = piece.art.box
    xs = sorted((piece.x + piece.flip * x0 * piece.scale, piece.x + piece.flip * x1 * piece.scale))
    s.boxes[role] = (xs[0], piece.y + y0 * piece.scale, xs[1], piece.y + y1 * piece.scale)


# What carries the body


def astride(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(.46, .54) * ART[name].size, .42), .6) * s.side
    piece = s.stand("between", role, name, s.figure.joints["hip"][0], s.ground, scale)
    seat = s.spot(piece, "back" if name in ANIMALS else "seat")
    hip = s.figure.joints["hip"]
    s.figure.move(seat[0] - hip[0], seat[1] - .03 * s.h - hip[1])
    if name in ANIMALS:
        s.figure.goals["near_foot"] = s.figure.at("hip", .1, .4)
        s.figure.goals["far_foot"] = s.figure.at("hip", .16, .38)
        neck = s.spot(piece, "neck")
        goal = s.figure.at("shoulder", .26, .14)
        s.reach((goal[0], min(goal[1], neck[1])), s.figure.at("shoulder", .29, .12))
    else:
        x, y = s.spot(piece, "pedal")
        s.figure.goals["near_foot"], s.figure.goals["far_foot"] = (x, y), (x + s.f * .05 * s.h, y - .1 * s.h)
        bars = s.spot(piece, "bars")
        s.reach(bars, (bars[0] + s.f * 4, bars[1] - 3))
    _mark(s, role, piece)


def underfoot(s: Stage, role: str, name: str) -> None:
    art = ART[name]
    scale = min(max(s.u(.42, .5) * art.size, .38), .58) * s.side
    feet = s.figure.joints["near_foot"], s.figure.joints["far_foot"]
    if s.water:
        s.put("behind", "-", WAVE, feet[0][0] + s.f * .02 * s.side, s.ground, s.u(.7, .85) * s.side)
    x = (feet[0][0] + feet[1][0]) / 2
    hull = "hull" in art.spots
    tilt = -s.u(2, 10) if s.water else s.u(-4, 4)
    piece = s.stand("over" if hull else "prop", role, name, x, s.ground, scale)
    piece.turn = math.radians(tilt)
    deck = s.spot(piece, "deck")
    low = max(feet[0][1], feet[1][1])
    s.figure.move(0, deck[1] - low - .02 * s.h)
    if s.water:
        s.waterline = (x, s.ground - .01 * s.side, scale * 1.15)
    _mark(s, role, piece)


def _sit_flat(s: Stage, deck: Point) -> None:
    """Sit on something flat with the legs stretched out in front."""
    hip = s.figure.joints["hip"]
    s.figure.move(deck[0] - hip[0], deck[1] - .055 * s.h - hip[1])
    s.figure.goals["near_foot"] = s.figure.at("hip", .4, .03)
    s.figure.goals["far_foot"] = s.figure.at("hip", .37, .0)


def seated(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(.44, .52) * ART[name].size, .4), .58) * s.side
    piece = s.stand("prop", role, name, s.figure.joints["hip"][0], s.ground, scale)
    piece.turn = math.radians(s.u(0, 8))
    deck = s.spot(piece, "deck")
    _sit_flat(s, (deck[0] - s.f * .12 * scale, deck[1]))
    s.reach(s.figure.at("hip", .22, -.02), s.figure.at("hip", .24, -.06))
    _mark(s, role, piece)


def aboard(s: Stage, role: str, name: str) -> None:
    art = ART[name]
    scale = min(max(s.u(.46, .54) * art.size, .42), .62) * s.side
    hull = "hull" in art.spots
    piece = s.stand("over" if hull and name != "sailboat" else "prop", role, name, s.figure.joints["hip"][0], s.ground, scale)
    deck = s.spot(piece, "deck")
    if s.figure.pose.rest == "seat":
        if hull:
            hip = s.figure.joints["hip"]
            s.figure.move(deck[0] - s.f * .1 * scale - hip[0], deck[1] - .08 * s.h - hip[1])
        else:
            _sit_flat(s, (deck[0] - s.f * .14 * scale, deck[1]))
    else:
        x = s.figure.joints["hip"][0]
        s.figure.move(deck[0] - x - (s.f * .1 * scale if name == "sailboat" else 0), deck[1] - s.figure.lowest() + .02 * s.h)
    if s.water:
        s.waterline = (s.figure.joints["hip"][0], s.ground - .035 * s.side, scale * 1.2)
    _mark(s, role, piece)


def bed(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(.46, .5) * max(ART[name].size, 1.05), .42), .62) * s.side
    if name == "towel":
        piece = s.centre("prop", role, name, 0, 0, scale * .9, 90)
        x = (s.figure.joints["head"][0] + s.figure.joints["hip"][0]) / 2
        piece.x += x + s.f * .06 * s.h
        piece.y += s.ground + .05 * s.h
        deck_y = s.ground + .03 * s.h
        s.boxes[role] = (x - scale / 2, s.ground - .1 * scale, x + scale / 2, s.ground + .1 * scale)
    else:
        x = (s.figure.joints["head"][0] + s.figure.joints["near_foot"][0]) / 2
        piece = s.stand("prop", role, name, x, s.ground, scale, -s.f if s.figure.pose.rest == "back" else s.f)
        deck_y = s.spot(piece, "deck")[1] if "deck" in ART[name].spots else s.top(piece) + .3 * (s.ground - s.top(piece))
        if name == "bed":
            piece.flip = s.f  # the pillow goes under the head
        _mark(s, role, piece)
    s.figure.move(0, deck_y - s.figure.lowest() + .03 * s.h)
    if s.water:
        s.waterline = (x, s.ground - .015 * s.side, scale * 1.2)


# What stands about


def _beside(s: Stage, role: str, name: str, gap: float, scale: float, layer: str = "behind", foot: float | None = None, flip: int = 0) -> Piece:
    """Stand a thing in front of the figure (behind it for a negative gap), `gap` body heights from the hip to its edge."""
    x0, _, x1, _ = ART[name].box
    half = (x1 - x0) / 2 * scale
    x = s.figure.joints["hip"][0] + s.f * (gap * s.h + math.copysign(half, gap))
    piece = s.stand(layer, role, name, x, s.ground if foot is None else foot, scale, flip)
    _mark(s, role, piece)
    return piece


def _facing(s: Stage) -> int:
    """Things standing about face either way."""
    return s.f if s.rng.random() < .5 else -s.f


def front(s: Stage, role: str, name: str) -> None:
    scale = s.big(name)
    stooped = s.figure.pose.lean > 30 or s.figure.pose.rest in ("knees", "seat")
    low = name not in BULKY or name in ("picture", "bush")
    gap = .24 if not stooped else .42 if s.figure.pose.lean > 30 and low else .32
    if low and (not stooped or s.figure.pose.rest == "seat") and name != "drum":
        # Small things are raised to the hand on a stand of their own.
        x0, _, x1, _ = ART[name].box
        x = s.figure.joints["hip"][0] + s.f * (gap * s.h + .6 * scale * (x1 - x0))
        rise = s.u(.3, .36) * s.h * (.5 if stooped else 1)
        s.put("behind", "clutter", STUMP, x, s.ground - rise, rise)
        _beside(s, role, name, gap, scale, foot=s.ground - rise + 2, flip=_facing(s))
    else:
        _beside(s, role, name, gap, scale, flip=_facing(s) if name not in ANIMALS or s.rng.random() < .6 else -s.f)


def ahead(s: Stage, role: str, name: str) -> None:
    _beside(s, role, name, .34, s.big(name, .34, .42), flip=s.f)


def trailing(s: Stage, role: str, name: str) -> None:
    back = max((abs(b[0] - s.figure.joints["hip"][0]) if s.f > 0 else abs(b[2] - s.figure.joints["hip"][0])) for b in s.boxes.values()) if s.boxes else .24 * s.h
    piece = _beside(s, role, name, -(back / s.h + .06), s.big(name, .32, .38), flip=s.f)
    if "vehicle" in s.boxes:
        x0, y0, x1, y1 = s.boxes["vehicle"]
        start = (x0 + 6 if s.f > 0 else x1 - 6, (y0 + y1) / 2)
        end = (piece.x + s.f * piece.art.box[2] * piece.scale * .8, piece.y)
        s.strands.append(("clutter", "rope", start, end))


def following(s: Stage, role: str, name: str) -> None:
    _beside(s, role, name, -.3, s.big(name, .4, .46), flip=s.f)


def below(s: Stage, role: str, name: str) -> None:
    scale = s.big(name, .3, .36)
    piece = s.stand("behind", role, name, s.figure.joints["hip"][0], s.ground, scale)
    s.figure.move(0, s.top(piece) - s.u(.0, .06) * s.h - s.figure.lowest())
    _mark(s, role, piece)


def backdrop(s: Stage, role: str, name: str) -> None:
    scale = min(s.u(.56, .62) * (1.0 if name != "tree" else 1.15), .7) * s.side
    piece = s.stand("behind", role, name, s.figure.joints["hip"][0] + s.f * .16 * s.h, s.ground, scale)
    _mark(s, role, piece)


def upright(s: Stage, role: str, name: str) -> None:
    x = s.figure.joints["hip"][0] + s.f * .2 * s.h
    scale = s.u(.54, .6) * s.side
    art = {"ladder": ART["ladder"], "rope": LINE, "net": MESH}[name]
    low = art.box[3]
    piece = s.put("behind", role, art, x, s.ground - low * scale, scale, s.u(-3, 6))
    _mark(s, role, piece)
    s.reach((x, s.figure.at("shoulder", 0, -.24)[1]), (x, s.figure.at("shoulder", 0, -.1)[1]))


def pushed(s: Stage, role: str, name: str) -> None:
    piece = _beside(s, role, name, .42, s.big(name, .36, .44), flip=s.f)
    x0, y0, x1, y1 = s.boxes[role]
    edge = (x0 if s.f > 0 else x1, y0 + .22 * (y1 - y0))
    grip = s.spot(piece, "handle") if "handle" in piece.art.spots else edge
    shoulder = s.figure.joints["shoulder"]
    drop = min(abs(grip[1] - shoulder[1]) / s.h, .3)
    shift = shoulder[0] + s.f * math.sqrt(.31 ** 2 - drop ** 2) * s.h - grip[0]
    piece.x += shift
    _mark(s, role, piece)
    s.reach((grip[0] + shift, grip[1]), (grip[0] + shift + s.f * 5, grip[1] - 5))


def hauled(s: Stage, role: str, name: str) -> None:
    _beside(s, role, name, .42, s.big(name, .34, .42), flip=-s.f)


def ground(s: Stage, role: str, name: str) -> None:
    gap = .2 if s.figure.pose.lean > 30 else .26
    loose = name in ("soil", "snow", "sand", "straw", "leaf")
    piece = _beside(s, role, name, gap, s.length(name, .26, .36, .22), layer="over" if loose else "behind", foot=s.ground + s.u(.0, .03) * s.h)
    if name == "paper":
        piece.turn = math.radians(s.u(70, 80))  # a sheet lies on the ground
        piece.y += .16 * piece.scale


def table(s: Stage, role: str, name: str) -> None:
    seat = s.figure.pose.rest == "seat"
    scale = s.length(name, .26, .34)
    x = s.figure.joints["hip"][0] + s.f * (.5 if seat else .42) * s.h
    rise = (.4 if seat else .43) * s.h
    wide = max(.44 * s.h, scale * .9)
    s.table_top = s.ground - rise
    s.put("behind" if not seat else "over", "clutter", replace(TABLE, ys=TABLE.ys * (rise / (.776 * wide))), x, s.table_top, wide)
    layer = "behind" if not seat else "over"
    thing = s.stand(layer, role, name, x, s.table_top + 3, scale)
    if name in ("paper", "newspaper", "map"):
        # Lies flat, seen at a slant.
        x0, y0, x1, y1 = thing.art.box
        thing.y += (y1 - .5 * y1) * scale
        thing.art = replace(thing.art, ys=thing.art.ys * .5, box=(x0, y0 * .5, x1, y1 * .5))
    _mark(s, role, thing)
    if name in ("laptop", "typewriter", "keyboard", "cell phone"):
        s.reach((x - s.f * .08 * s.h, s.table_top - .02 * s.h), (x - s.f * .02 * s.h, s.table_top - .04 * s.h))


def flank(s: Stage, role: str, name: str) -> None:
    """An animal with its side to a seated figure, tail end first, close enough to reach under it."""
    _beside(s, role, name, .2, s.big(name, .42, .48), flip=s.f)
    x0, y0, x1, y1 = s.boxes[role]
    near = x0 if s.f > 0 else x1
    goal = near + s.f * .2 * (x1 - x0), y0 + .62 * (y1 - y0)
    s.reach(goal, (goal[0] + s.f * .05 * s.h, goal[1]))


def beneath(s: Stage, role: str, name: str) -> None:
    """Under the belly of the animal."""
    x0, _, x1, _ = s.boxes["item"]
    near = x0 if s.f > 0 else x1
    scale = s.length(name, .22, .27)
    _mark(s, role, s.stand("over", role, name, near + s.f * .3 * (x1 - x0), s.ground + .02 * s.h, scale))


def struck(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .26, .34)
    rise = s.u(.3, .4) * s.h
    x = s.figure.joints["hip"][0] + s.f * .46 * s.h
    if name == "ball":
        s.centre("over", role, name, x, s.figure.at("shoulder", 0, .0)[1], scale)
        s.boxes[role] = (x - scale / 2, s.ground - .8 * s.h, x + scale / 2, s.ground - .5 * s.h)
    else:
        s.put("behind", "clutter", STUMP, x, s.ground - rise, rise)
        _mark(s, role, s.stand("behind", role, name, x, s.ground - rise + 4, scale))


# What the hands and feet hold


def _grip(s: Stage, role: str, name: str, at: Point, scale: float, turn: float, layer: str = "hand", bottom: bool = True) -> Piece:
    """Put a thing in a hand: pointed things by their handle along `turn`, others upright, standing in or hanging from it."""
    if name in POINTED or name in LONG:
        return s.put(layer, role, name, at[0], at[1], scale, turn)
    if name in ("towel", "leash", "rope"):
        return s.put(layer, role, name, at[0], at[1], scale, 0)
    if name in ("bucket", "basket", "suitcase", "shirt") and not bottom:
        x0, y0, x1, _ = ART[name].box
        return s.put(layer, role, name, at[0], at[1] - y0 * scale, scale)
    return s.stand(layer, role, name, at[0] + s.f * .03 * s.h, at[1] + .03 * s.h, scale)


def held(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .28, .36)
    x0, y0, x1, y1 = (v * scale for v in ART[name].box)
    if name in ("plank", "log", "barbell", "ladder"):
        scale = s.u(.4, .5) * s.side
    cx, cy = s.figure.at("shoulder", .26, .14)
    s.reach((cx - s.f * .02 * s.h, cy + min((y1 - y0) / 2, .12 * s.h)), (cx + s.f * .06 * s.h, cy + min((y1 - y0) / 2, .1 * s.h)))
    s.centre("hand", role, name, cx + s.f * .03 * s.h, cy, scale, 35 if name in ("carrot",) else 0)


def groundward(s: Stage, role: str, name: str) -> None:
    if name in LONG:
        scale = max(s.length(name, .34, .42, .3, .42), .4 * s.h)
        hand = s.figure.at("shoulder", .1, .24)
        reach = -ART[name].box[1] * scale
        drop = s.ground - hand[1]
        turn = 180 - math.degrees(math.acos(min(max(drop / reach, .35), .97)))
        s.reach(hand, s.figure.at("shoulder", .0, .14))
        s.put("hand", role, name, hand[0], hand[1], scale, turn)
        return
    scale = s.length(name, .26, .34)
    hand = (s.figure.at("hip", .3)[0], s.ground - .16 * s.h)
    s.reach(hand)
    hand = s.hand()
    if name == "spoon":
        s.put("hand", role, name, hand[0], hand[1], scale, 150)
    elif name == "watering can":
        s.drops.append((s.spot(s.centre("hand", role, name, hand[0], hand[1], scale, 25), "spout"), (hand[0] + s.f * .3 * s.h, s.ground)))
    else:
        s.centre("hand", role, name, hand[0] + s.f * .02 * s.h, hand[1] + .06 * s.h, scale)


def _middle(s: Stage, role: str) -> Point:
    x0, y0, x1, y1 = s.boxes[role]
    return (x0 + x1) / 2, (y0 + y1) / 2


def pouring(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .23, .3)
    x0, y0, x1, y1 = s.boxes["item"]
    middle = (x0 + x1) / 2
    above = min(y0 - .16 * s.h, s.figure.at("shoulder", 0, .06)[1])
    if y0 < s.figure.joints["shoulder"][1]:
        above = s.figure.at("shoulder", 0, .06)[1]
        middle = x0 if s.f > 0 else x1
    s.reach((middle - s.f * .2 * s.h, above))
    hand = s.hand()
    if name == "hose":
        piece = s.put("hand", role, name, hand[0] - s.f * .05 * s.h, hand[1] + .02 * s.h, scale, 62)
        s.drops.append((s.spot(piece, "spout"), (middle, y0 + .15 * (y1 - y0))))
        return
    turn = {"watering can": 28, "cup": -70, "bucket": 62, "pitcher": 58, "bottle": 112}.get(name, 60)
    piece = s.centre("hand", role, name, hand[0] + s.f * .05 * s.h, hand[1], scale, turn)
    if name == "cup":
        piece.flip, piece.turn = -s.f, math.radians(-62)
        piece.x, piece.y = hand[0] + s.f * .05 * s.h, hand[1]
    start = s.spot(piece, "spout")
    s.drops.append((start, (start[0] + s.f * .05 * s.h, max(y0 + 4, start[1] + .1 * s.h))))


def offered(s: Stage, role: str, name: str) -> None:
    goal = s.figure.at("shoulder", .3, .1 if s.figure.pose.lean < 30 else .16)
    s.reach(goal, s.figure.at("shoulder", .24, .16) if s.figure.pose.rest == "seat" else None)
    hand = s.hand()
    scale = s.length(name, .22, .3)
    if name in ("carrot", "bread"):
        s.centre("hand", role, name, hand[0] + s.f * .05 * s.h, hand[1], scale, 70 if name == "carrot" else 0)
    else:
        _grip(s, role, name, (hand[0] + s.f * .02 * s.h, hand[1]), scale, 70)


def worked(s: Stage, role: str, name: str) -> None:
    x0, y0, x1, y1 = s.boxes["item"]
    near = x0 if s.f > 0 else x1
    scale = s.length(name, .22, .3)
    if s.table_top:
        goal = ((x0 + x1) / 2 - s.f * .1 * s.h, y0 - .06 * s.h)
        turn = 150.0
    else:
        spot = near + s.f * .12 * (x1 - x0), y0 + .3 * (y1 - y0)
        sx, sy = s.figure.joints["shoulder"]
        length = math.hypot(spot[0] - sx, spot[1] - sy) or 1.0
        step = max(min(length - .6 * scale, .32 * s.h), .16 * s.h) / length
        goal = sx + (spot[0] - sx) * step, sy + (spot[1] - sy) * step
        turn = math.degrees(math.atan2(s.f * (spot[0] - goal[0]), goal[1] - spot[1]))
        turn = min(max(turn, 40.0), 150.0)
    s.reach(goal)
    hand = s.hand()
    layer = "over" if s.table_top else "hand"
    if name in LONG:
        scale = s.length(name, .3, .38)
    if name == "hose":
        piece = s.put(layer, role, name, hand[0] - s.f * .05 * s.h, hand[1] + .02 * s.h, scale, 70)
        s.drops.append((s.spot(piece, "spout"), _middle(s, "item")))
    elif name == "sponge":
        s.centre(layer, role, name, hand[0] + s.f * .05 * s.h, hand[1], scale)
    elif name in ("fork", "spoon", "knife") and not s.table_top:
        s.put(layer, role, name, hand[0], hand[1], scale, turn + 30)
    else:
        _grip(s, role, name, hand, scale, turn)


def brandished(s: Stage, role: str, name: str) -> None:
    s.reach(s.figure.at("shoulder", .12, -.26))
    hand = s.hand()
    scale = s.length(name, .28, .36)
    s.put("hand", role, name, hand[0], hand[1], scale, s.u(-5, 35))


def dipped(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .26, .34)
    x, _ = _middle(s, "item")
    top = s.boxes["item"][1]
    s.reach((x - s.f * .03 * s.h, top - .1 * s.h))
    hand = s.hand()
    piece = s.put("hand", role, name, hand[0], hand[1], scale, s.u(165, 178))
    # Painted before the vessel, so that its end disappears in it.
    s.layers["hand"].remove(piece)
    s.layers["behind"].insert(len(s.layers["behind"]) - 1, piece)


def tomouth(s: Stage, role: str, name: str) -> None:
    radius = s.figure.person.head_radius * s.h
    scale = s.length(name, .22, .28)
    mouth = s.figure.at("head", 0, 0)
    mx, my = mouth[0] + s.f * radius * .9, mouth[1] + radius * .5
    if name in ("fork", "spoon", "knife"):
        hand = (mx + s.f * .5 * scale, my + .26 * scale)
        s.reach(hand)
        hand = s.hand()
        s.put("over", role, name, hand[0], hand[1], scale, -62)
        return
    if name in ("apple", "bread", "carrot"):
        s.reach((mx + s.f * .1 * s.h, my + .05 * s.h))
        s.centre("hand", role, name, mx + s.f * .36 * scale, my + .02 * s.h, scale, -70 if name == "carrot" else 0)
        return
    x0, y0, x1, y1 = ART[name].box
    cx, cy = mx + s.f * (.5 * (x1 - x0) if name != "bottle" else .42) * scale, my + (.12 if name != "bottle" else -.1) * scale
    s.reach((cx, cy + .05 * s.h), (cx + s.f * .02 * s.h, cy + .1 * s.h))
    tilt = {"bottle": -105, "cup": -24, "pitcher": -38, "bucket": -34, "bowl": -28}.get(name, -30)
    piece = s.centre("hand", role, name, cx, cy, scale, tilt)
    if name == "pitcher":
        piece.flip, piece.turn = -s.f, math.radians(38)
        x, y = s.spot(piece, "spout")
        piece.x += mx - x
        piece.y += my - y


def toeyes(s: Stage, role: str, name: str) -> None:
    radius = s.figure.person.head_radius * s.h
    head = s.figure.joints["head"]
    scale = s.length(name, .22, .28)
    x, y = head[0] + s.f * (radius + .3 * scale), head[1] + .02 * s.h
    s.reach((x - s.f * .04 * s.h, y + .07 * s.h), (x + s.f * .04 * s.h, y + .08 * s.h))
    s.centre("hand", role, name, x, y, scale)


def fingers(s: Stage, role: str, name: str) -> None:
    raised = s.figure.pose.near_arm[0] > 120
    s.reach(s.figure.at("shoulder", .2, -.24) if raised else s.figure.at("shoulder", .3, -.04))
    hand = s.hand()
    scale = s.length(name, .22, .28)
    s.put("behind", "clutter", BRANCH, hand[0] + s.f * .12 * s.h, hand[1] - .16 * s.h, .42 * s.side, flip=-s.f)
    s.centre("hand", role, name, hand[0] + s.f * .07 * s.h, hand[1] + (.16 * scale if name == "flower" else -.02 * s.h), scale)


def tray(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .32, .38, .3)
    x, y = s.figure.at("shoulder", .3, .16)
    s.reach((x - s.f * .06 * s.h, y + .03 * s.h), (x + s.f * .02 * s.h, y + .03 * s.h))
    piece = s.centre("hand", role, name, x + s.f * .06 * s.h, y, scale)
    _mark(s, role, piece)


def ontop(s: Stage, role: str, name: str) -> None:
    x0, y0, x1, y1 = s.boxes["tool"]
    sunk = .5 * (y1 - y0) if (y1 - y0) < .5 * (x1 - x0) else .1 * (y1 - y0)
    layer = s.layers["hand"]
    piece = s.stand("hand", role, name, (x0 + x1) / 2, y0 + sunk, s.length(name, .2, .26))
    if sunk == .1 * (y1 - y0):
        layer.remove(piece)
        layer.insert(len(layer) - 1, piece)  # looks out of the vessel from behind its rim


def lap(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .28, .34)
    x, y = s.figure.at("shoulder", .3, .08)
    s.reach((x - s.f * .02 * s.h, y + .1 * s.h), (x + s.f * .03 * s.h, y + .1 * s.h))
    s.centre("hand", role, name, x + s.f * .04 * s.h, y, scale, -8)


def overhead(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(.34, .4) * ART[name].size, .3), .5) * s.side
    x, y = s.figure.joints["shoulder"]
    x0, y0, x1, y1 = (v * scale for v in ART[name].box)
    wide = min((x1 - x0) * .35, .12 * s.h)
    s.reach((x + s.f * wide, y - .3 * s.h), (x - s.f * wide, y - .3 * s.h))
    hands = min(s.hand()[1], s.hand("far")[1])
    s.centre("over", role, name, x, hands - (0 if name == "barbell" else (y1 - y0) / 2 - .02 * s.h), scale)


def hung(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", .2, -.22)
    line = s.canvas
    s.strands.append(("clutter", "rope", (0.0 if s.f > 0 else float(line.side), y - .05 * s.h), (float(line.side) if s.f > 0 else 0.0, y - .05 * s.h)))
    scale = s.length(name, .3, .38)
    box = ART[name].box
    s.reach((x + s.f * .02 * s.h, y), (x - s.f * .06 * s.h, y))
    middle = x + s.f * (.06 * s.h + (box[2] - box[0]) / 2 * scale)
    if name == "net":
        s.centre("hand", role, name, middle, y + .3 * scale, scale, 180)
    elif name == "flag":
        s.put("hand", role, name, middle - s.f * .4 * scale, y + .0 * s.h, scale, 90)
    else:
        s.put("hand", role, name, middle - s.f * (box[0] + box[2]) / 2 * scale, y - box[1] * scale - .06 * s.h, scale)


def aloft(s: Stage, role: str, name: str) -> None:
    both = s.figure.pose.far_arm[0] < -120
    s.reach(s.figure.at("shoulder", .2, -.22) if not both else s.figure.at("shoulder", .16, -.26), s.figure.at("shoulder", .06, -.3) if both else None)
    if name in ("drum", "guitar", "broom") and s.figure.pose.near_arm[0] < 90:
        s.figure.goals.pop("near_hand")
        strummed(s, role, name) if name == "guitar" else held(s, role, name) if name == "drum" else s.put("hand", role, name, *s.figure.at("shoulder", .12, .06), s.length(name, .34, .38), -18)
        if name == "broom":
            s.reach(s.figure.at("shoulder", .12, .1))
        return
    hand = s.hand()
    scale = s.length(name, .3, .38)
    if name == "flower":
        s.put("hand", role, name, hand[0] + s.f * .02 * s.h, hand[1] - .55 * scale, scale)
    elif name == "towel":
        s.put("hand", role, name, hand[0], hand[1] + .05 * scale, scale, -75)
    else:
        _grip(s, role, name, (hand[0], hand[1] + .02 * s.h), scale, s.u(-8, 22))


def incoming(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", .5, -.34)
    s.centre("over", role, name, x, max(y, .12 * s.side), s.length(name, .24, .3), s.u(-30, 30))


def kicked(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.joints["near_foot"]
    scale = s.length(name, .22, .3)
    s.centre("over", role, name, x + s.f * (.1 * s.h + scale * .4), y - s.u(-.01, .1) * s.h, scale, s.u(-20, 50))


def thrown(s: Stage, role: str, name: str) -> None:
    x, y = s.hand()
    s.centre("hand", role, name, x, y - .04 * s.h, s.length(name, .22, .28), s.u(-30, 30))


def arc(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", .16, 0)
    scale = s.length(name, .18, .22, .15, .2)
    s.reach(s.figure.at("shoulder", .26, .12), s.figure.at("shoulder", .06, .14))
    for k, (dx, dy) in enumerate(((-.2, -.28), (.1, -.5), (.34, -.22))):
        piece = s.centre("over", role, name, x + s.f * dx * s.h, y + dy * s.h, scale, s.u(-60, 60))
        if k:
            piece.colours = {**piece.colours, "a": ACCENTS[int(s.rng.integers(len(ACCENTS)))]}


def cast(s: Stage, role: str, name: str) -> None:
    s.reach(s.figure.at("shoulder", .24, .1), s.figure.at("shoulder", .2, .14))
    hand = s.hand()
    if name == "rope":
        s.strands.append((role, "rope", hand, (hand[0] + s.f * .4 * s.h, s.ground)))
        s.put("hand", role, name, hand[0], hand[1], s.length(name, .22, .26))
    elif name == "basket":
        _grip(s, role, name, (hand[0] + s.f * .04 * s.h, hand[1]), s.length(name, .24, .3), 0, "over", bottom=False)
    else:
        s.put("over", role, name, hand[0], hand[1], s.length(name, .34, .38), 42 if name == "fishing rod" else 112)


def paddling(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .36, .42, .34, .42)
    hand = s.figure.at("shoulder", .2, .14)
    s.reach(hand, s.figure.at("shoulder", .14, .02))
    hand = s.hand()
    if name == "plank":
        s.centre("over", role, name, hand[0] + s.f * .1 * s.h, hand[1] + .14 * s.h, scale, 62)
    else:
        s.put("over", role, name, hand[0], hand[1], scale, s.u(135, 155))


def strummed(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, .34, .38)
    x, y = s.figure.at("hip", .07, -.12)
    if name == "harp":
        x, y = s.figure.at("hip", .22, -.16)
        s.put("hand", role, name, x, y, scale)
        s.reach((x - s.f * .0 * s.h, y - .02 * s.h), (x + s.f * .1 * s.h, y - .06 * s.h))
        return
    piece = s.put("hand", role, name, x, y, scale, s.u(-10, 6))
    neck = s.spot(piece, "neck")
    s.reach((x + s.f * .02 * s.h, y + .02 * s.h), neck)


def tether(s: Stage, role: str, name: str) -> None:
    """Hold an animal's or a load's line; with something that is no line, lure or signal with it instead."""
    x0, y0, x1, y1 = s.boxes["item"]
    behind = (x0 + x1) / 2 * s.f < s.figure.joints["hip"][0] * s.f
    if name not in ROPELIKE:
        offered(s, role, name) if name == "carrot" else aloft(s, role, name)
        return
    if behind:
        s.reach(s.figure.at("shoulder", .04, .28) if s.figure.pose.lean < 20 else s.figure.at("shoulder", .1, .2))
    elif s.figure.pose.lean < -20:
        s.reach(s.figure.at("shoulder", .3, .06), s.figure.at("shoulder", .26, .08))
    hand = s.hand()
    edge = (x1 if s.f > 0 else x0) if behind else (x0 if s.f > 0 else x1)
    end = edge + (x0 + x1 - 2 * edge) * .12, y0 + .45 * (y1 - y0)
    s.strands.append((role, name, hand, end))
    s.put("hand", role, name, hand[0], hand[1], s.length(name, .2, .24), 180 if name in ("net", "hose") else 0)


def lead(s: Stage, role: str, name: str) -> None:
    if name in ROPELIKE:
        s.reach(s.figure.at("shoulder", .2, .2))
        tether(s, role, name)
    elif name == "cell phone":
        toeyes(s, role, name)
    else:
        aloft(s, role, name)


WHOLE: dict[str, Placement] = {"astride": astride, "underfoot": underfoot, "seated": seated, "aboard": aboard, "bed": bed, "below": below}
STANDING: dict[str, Placement] = {"front": front, "ahead": ahead, "trailing": trailing, "following": following, "backdrop": backdrop, "upright": upright, "pushed": pushed,
                                  "hauled": hauled, "ground": ground, "table": table, "flank": flank, "beneath": beneath, "struck": struck, "tray": tray}
HANDHELD: dict[str, Placement] = {"held": held, "groundward": groundward, "pouring": pouring, "offered": offered, "worked": worked, "brandished": brandished, "dipped": dipped, "tomouth": tomouth,
                                  "toeyes": toeyes, "fingers": fingers, "ontop": ontop, "lap": lap, "overhead": overhead, "hung": hung, "aloft": aloft, "incoming": incoming, "kicked": kicked,
                                  "thrown": thrown, "arc": arc, "cast": cast, "paddling": paddling, "strummed": strummed, "tether": tether, "lead": lead}
PLACEMENTS: dict[str, Placement] = {**WHOLE, **STANDING, **HANDHELD}
RANK: dict[str, int] = {name: rank for rank, group in enumerate((WHOLE, STANDING, HANDHELD)) for name in group}
