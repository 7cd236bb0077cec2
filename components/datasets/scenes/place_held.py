"""Placements of what the hands and feet hold, throw, kick or swing; they run last and see all the rest."""

import math

from .place_whole import Point, mark
from .shapes import ACCENTS
from .stage import ART, BRANCH, LONG, POINTED, Piece, Stage

ROPELIKE = frozenset({"rope", "leash", "hose", "net"})


def _grip(
    s: Stage, role: str, name: str, at: Point, scale: float, turn: float, layer: str = "hand", bottom: bool = True
) -> Piece:
    """Put a thing in a hand: pointed things along `turn`, others upright, standing in the hand or hanging from it."""
    if name in POINTED or name in LONG:
        return s.put(layer, role, name, at[0], at[1], scale, turn)
    if name in ("towel", "leash", "rope"):
        return s.put(layer, role, name, at[0], at[1], scale, 0)
    if name in ("bucket", "basket", "suitcase", "shirt") and not bottom:
        x0, y0, x1, _ = ART[name].box
        return s.put(layer, role, name, at[0], at[1] - y0 * scale, scale)
    return s.stand(layer, role, name, at[0] + s.f * 0.03 * s.h, at[1] + 0.03 * s.h, scale)


def held(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.28, 0.36)
    x0, y0, x1, y1 = (v * scale for v in ART[name].box)
    if name in ("plank", "log", "barbell", "ladder"):
        scale = s.u(0.4, 0.5) * s.side
    cx, cy = s.figure.at("shoulder", 0.26, 0.14)
    s.reach(
        (cx - s.f * 0.02 * s.h, cy + min((y1 - y0) / 2, 0.12 * s.h)),
        (cx + s.f * 0.06 * s.h, cy + min((y1 - y0) / 2, 0.1 * s.h)),
    )
    s.centre("hand", role, name, cx + s.f * 0.03 * s.h, cy, scale, 35 if name in ("carrot",) else 0)


def groundward(s: Stage, role: str, name: str) -> None:
    if name in LONG:
        scale = max(s.length(name, 0.34, 0.42, 0.3, 0.42), 0.4 * s.h)
        hand = s.figure.at("shoulder", 0.1, 0.24)
        reach = -ART[name].box[1] * scale
        drop = s.ground - hand[1]
        turn = 180 - math.degrees(math.acos(min(max(drop / reach, 0.35), 0.97)))
        s.reach(hand, s.figure.at("shoulder", 0.0, 0.14))
        s.put("hand", role, name, hand[0], hand[1], scale, turn)
        return
    scale = s.length(name, 0.26, 0.34)
    hand = (s.figure.at("hip", 0.3)[0], s.ground - 0.16 * s.h)
    s.reach(hand)
    hand = s.hand()
    if name == "spoon":
        s.put("hand", role, name, hand[0], hand[1], scale, 150)
    elif name == "watering can":
        s.drops.append(
            (
                s.spot(s.centre("hand", role, name, hand[0], hand[1], scale, 25), "spout"),
                (hand[0] + s.f * 0.3 * s.h, s.ground),
            )
        )
    else:
        s.centre("hand", role, name, hand[0] + s.f * 0.02 * s.h, hand[1] + 0.06 * s.h, scale)


def middle_of(s: Stage, role: str) -> Point:
    x0, y0, x1, y1 = s.boxes[role]
    return (x0 + x1) / 2, (y0 + y1) / 2


def pouring(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.23, 0.3)
    x0, y0, x1, y1 = s.boxes["item"]
    middle = (x0 + x1) / 2
    above = min(y0 - 0.16 * s.h, s.figure.at("shoulder", 0, 0.06)[1])
    if y0 < s.figure.joints["shoulder"][1]:
        above = s.figure.at("shoulder", 0, 0.06)[1]
        middle = x0 if s.f > 0 else x1
    s.reach((middle - s.f * 0.2 * s.h, above))
    hand = s.hand()
    if name == "hose":
        piece = s.put("hand", role, name, hand[0] - s.f * 0.05 * s.h, hand[1] + 0.02 * s.h, scale, 62)
        s.drops.append((s.spot(piece, "spout"), (middle, y0 + 0.15 * (y1 - y0))))
        return
    turn = {"watering can": 28, "cup": -70, "bucket": 62, "pitcher": 58, "bottle": 112}.get(name, 60)
    piece = s.centre("hand", role, name, hand[0] + s.f * 0.1 * s.h, hand[1], scale, turn)
    if name == "cup":
        piece.flip, piece.turn = -s.f, math.radians(-62)
        piece.x, piece.y = hand[0] + s.f * 0.05 * s.h, hand[1]
    start = s.spot(piece, "spout")
    s.drops.append((start, (start[0] + s.f * 0.05 * s.h, max(y0 + 4, start[1] + 0.1 * s.h))))


def offered(s: Stage, role: str, name: str) -> None:
    goal = s.figure.at("shoulder", 0.3, 0.1 if s.figure.pose.lean < 30 else 0.16)
    s.reach(goal, s.figure.at("shoulder", 0.24, 0.16) if s.figure.pose.rest == "seat" else None)
    hand = s.hand()
    scale = s.length(name, 0.22, 0.3)
    if name in ("carrot", "bread"):
        s.centre("hand", role, name, hand[0] + s.f * 0.05 * s.h, hand[1], scale, 70 if name == "carrot" else 0)
    else:
        _grip(s, role, name, (hand[0] + s.f * 0.02 * s.h, hand[1]), scale, 70)


def worked(s: Stage, role: str, name: str) -> None:
    x0, y0, x1, y1 = s.boxes["item"]
    near = x0 if s.f > 0 else x1
    scale = s.length(name, 0.22, 0.3)
    if s.table_top:
        goal = ((x0 + x1) / 2 - s.f * 0.1 * s.h, y0 - 0.06 * s.h)
        turn = 150.0
    else:
        spot = near + s.f * 0.12 * (x1 - x0), y0 + 0.3 * (y1 - y0)
        sx, sy = s.figure.joints["shoulder"]
        length = math.hypot(spot[0] - sx, spot[1] - sy) or 1.0
        step = max(min(length - 0.6 * scale, 0.32 * s.h), 0.16 * s.h) / length
        goal = sx + (spot[0] - sx) * step, sy + (spot[1] - sy) * step
        turn = math.degrees(math.atan2(s.f * (spot[0] - goal[0]), goal[1] - spot[1]))
        turn = min(max(turn, 40.0), 150.0)
    s.reach(goal)
    hand = s.hand()
    layer = "over" if s.table_top else "hand"
    if name in LONG:
        scale = s.length(name, 0.3, 0.38)
    if name == "hose":
        piece = s.put(layer, role, name, hand[0] - s.f * 0.05 * s.h, hand[1] + 0.02 * s.h, scale, 70)
        s.drops.append((s.spot(piece, "spout"), middle_of(s, "item")))
    elif name == "sponge":
        s.centre(layer, role, name, hand[0] + s.f * 0.05 * s.h, hand[1], scale)
    elif name in ("fork", "spoon", "knife") and not s.table_top:
        s.put(layer, role, name, hand[0], hand[1], scale, turn + 30)
    else:
        _grip(s, role, name, hand, scale, turn)


def brandished(s: Stage, role: str, name: str) -> None:
    s.reach(s.figure.at("shoulder", 0.12, -0.26))
    hand = s.hand()
    scale = s.length(name, 0.28, 0.36)
    s.put("hand", role, name, hand[0], hand[1], scale, s.u(-5, 35))


def dipped(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.26, 0.34)
    x, _ = middle_of(s, "item")
    top = s.boxes["item"][1]
    s.reach((x - s.f * 0.03 * s.h, top - 0.1 * s.h))
    hand = s.hand()
    piece = s.put("hand", role, name, hand[0], hand[1], scale, s.u(165, 178))
    # Painted before the vessel, so that its end disappears in it.
    s.layers["hand"].remove(piece)
    s.layers["behind"].insert(len(s.layers["behind"]) - 1, piece)


def tomouth(s: Stage, role: str, name: str) -> None:
    radius = s.figure.person.head_radius * s.h
    scale = s.length(name, 0.22, 0.28)
    mouth = s.figure.at("head", 0, 0)
    mx, my = mouth[0] + s.f * radius * 0.9, mouth[1] + radius * 0.5
    if name in ("fork", "spoon", "knife"):
        hand = (mx + s.f * 0.5 * scale, my + 0.26 * scale)
        s.reach(hand)
        hand = s.hand()
        s.put("over", role, name, hand[0], hand[1], scale, -62)
        return
    if name in ("apple", "bread", "carrot"):
        s.reach((mx + s.f * 0.1 * s.h, my + 0.05 * s.h))
        s.centre("hand", role, name, mx + s.f * 0.36 * scale, my + 0.02 * s.h, scale, -70 if name == "carrot" else 0)
        return
    x0, y0, x1, y1 = ART[name].box
    cx, cy = (
        mx + s.f * (0.5 * (x1 - x0) if name != "bottle" else 0.42) * scale,
        my + (0.12 if name != "bottle" else -0.1) * scale,
    )
    s.reach((cx, cy + 0.05 * s.h), (cx + s.f * 0.02 * s.h, cy + 0.1 * s.h))
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
    scale = s.length(name, 0.22, 0.28)
    x, y = head[0] + s.f * (radius + 0.3 * scale), head[1] + 0.02 * s.h
    s.reach((x - s.f * 0.04 * s.h, y + 0.07 * s.h), (x + s.f * 0.04 * s.h, y + 0.08 * s.h))
    s.centre("hand", role, name, x, y, scale)


def fingers(s: Stage, role: str, name: str) -> None:
    raised = s.figure.pose.near_arm[0] > 120
    s.reach(s.figure.at("shoulder", 0.2, -0.24) if raised else s.figure.at("shoulder", 0.3, -0.04))
    hand = s.hand()
    scale = s.length(name, 0.22, 0.28)
    s.put("behind", "clutter", BRANCH, hand[0] + s.f * 0.12 * s.h, hand[1] - 0.16 * s.h, 0.42 * s.side, flip=-s.f)
    s.centre(
        "hand",
        role,
        name,
        hand[0] + s.f * 0.07 * s.h,
        hand[1] + (0.16 * scale if name == "flower" else -0.02 * s.h),
        scale,
    )


def tray(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.32, 0.38, 0.3)
    x, y = s.figure.at("shoulder", 0.3, 0.16)
    s.reach((x - s.f * 0.06 * s.h, y + 0.03 * s.h), (x + s.f * 0.02 * s.h, y + 0.03 * s.h))
    piece = s.centre("hand", role, name, x + s.f * 0.06 * s.h, y, scale)
    mark(s, role, piece)


def ontop(s: Stage, role: str, name: str) -> None:
    x0, y0, x1, y1 = s.boxes["tool"]
    sunk = 0.5 * (y1 - y0) if (y1 - y0) < 0.5 * (x1 - x0) else 0.1 * (y1 - y0)
    layer = s.layers["hand"]
    piece = s.stand("hand", role, name, (x0 + x1) / 2, y0 + sunk, s.length(name, 0.2, 0.26))
    if sunk == 0.1 * (y1 - y0):
        layer.remove(piece)
        layer.insert(len(layer) - 1, piece)  # looks out of the vessel from behind its rim


def lap(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.28, 0.34)
    x, y = s.figure.at("shoulder", 0.3, 0.08)
    s.reach((x - s.f * 0.02 * s.h, y + 0.1 * s.h), (x + s.f * 0.03 * s.h, y + 0.1 * s.h))
    s.centre("hand", role, name, x + s.f * 0.04 * s.h, y, scale, -8)


def overhead(s: Stage, role: str, name: str) -> None:
    scale = min(max(s.u(0.34, 0.4) * ART[name].size, 0.3), 0.5) * s.side
    x, y = s.figure.joints["shoulder"]
    x0, y0, x1, y1 = (v * scale for v in ART[name].box)
    wide = min((x1 - x0) * 0.35, 0.12 * s.h)
    s.reach((x + s.f * wide, y - 0.3 * s.h), (x - s.f * wide, y - 0.3 * s.h))
    hands = min(s.hand()[1], s.hand("far")[1])
    s.centre("over", role, name, x, hands - (0 if name == "barbell" else (y1 - y0) / 2 - 0.02 * s.h), scale)


def hung(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", 0.2, -0.22)
    line = s.canvas
    s.strands.append(
        (
            "clutter",
            "rope",
            (0.0 if s.f > 0 else float(line.side), y - 0.05 * s.h),
            (float(line.side) if s.f > 0 else 0.0, y - 0.05 * s.h),
        )
    )
    scale = s.length(name, 0.3, 0.38)
    box = ART[name].box
    s.reach((x + s.f * 0.02 * s.h, y), (x - s.f * 0.06 * s.h, y))
    middle = x + s.f * (0.06 * s.h + (box[2] - box[0]) / 2 * scale)
    if name == "net":
        s.centre("hand", role, name, middle, y + 0.3 * scale, scale, 180)
    elif name == "flag":
        s.put("hand", role, name, middle - s.f * 0.4 * scale, y + 0.0 * s.h, scale, 90)
    else:
        s.put("hand", role, name, middle - s.f * (box[0] + box[2]) / 2 * scale, y - box[1] * scale - 0.06 * s.h, scale)


def aloft(s: Stage, role: str, name: str) -> None:
    both = s.figure.pose.far_arm[0] < -120
    s.reach(
        s.figure.at("shoulder", 0.2, -0.22) if not both else s.figure.at("shoulder", 0.16, -0.26),
        s.figure.at("shoulder", 0.06, -0.3) if both else None,
    )
    if name in ("drum", "guitar", "broom") and s.figure.pose.near_arm[0] < 90:
        s.figure.goals.pop("near_hand")
        strummed(s, role, name) if name == "guitar" else held(s, role, name) if name == "drum" else s.put(
            "hand", role, name, *s.figure.at("shoulder", 0.12, 0.06), s.length(name, 0.34, 0.38), -18
        )
        if name == "broom":
            s.reach(s.figure.at("shoulder", 0.12, 0.1))
        return
    hand = s.hand()
    scale = s.length(name, 0.3, 0.38)
    if name == "flower":
        s.put("hand", role, name, hand[0] + s.f * 0.02 * s.h, hand[1] - 0.55 * scale, scale)
    elif name == "towel":
        s.put("hand", role, name, hand[0], hand[1] + 0.05 * scale, scale, -75)
    else:
        _grip(s, role, name, (hand[0], hand[1] + 0.02 * s.h), scale, s.u(-8, 22))


def incoming(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", 0.5, -0.34)
    s.centre("over", role, name, x, max(y, 0.12 * s.side), s.length(name, 0.24, 0.3), s.u(-30, 30))


def kicked(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.joints["near_foot"]
    scale = s.length(name, 0.22, 0.3)
    s.centre("over", role, name, x + s.f * (0.1 * s.h + scale * 0.4), y - s.u(-0.01, 0.1) * s.h, scale, s.u(-20, 50))


def thrown(s: Stage, role: str, name: str) -> None:
    x, y = s.hand()
    s.centre("hand", role, name, x, y - 0.04 * s.h, s.length(name, 0.22, 0.28), s.u(-30, 30))


def arc(s: Stage, role: str, name: str) -> None:
    x, y = s.figure.at("shoulder", 0.16, 0)
    scale = s.length(name, 0.18, 0.22, 0.15, 0.2)
    s.reach(s.figure.at("shoulder", 0.26, 0.12), s.figure.at("shoulder", 0.06, 0.14))
    for k, (dx, dy) in enumerate(((-0.2, -0.28), (0.1, -0.5), (0.34, -0.22))):
        piece = s.centre("over", role, name, x + s.f * dx * s.h, y + dy * s.h, scale, s.u(-60, 60))
        if k:
            piece.colours = {**piece.colours, "a": ACCENTS[int(s.rng.integers(len(ACCENTS)))]}


def cast(s: Stage, role: str, name: str) -> None:
    s.reach(s.figure.at("shoulder", 0.24, 0.1), s.figure.at("shoulder", 0.2, 0.14))
    hand = s.hand()
    if name == "rope":
        s.strands.append((role, "rope", hand, (hand[0] + s.f * 0.4 * s.h, s.ground)))
        s.put("hand", role, name, hand[0], hand[1], s.length(name, 0.22, 0.26))
    elif name == "basket":
        _grip(s, role, name, (hand[0] + s.f * 0.04 * s.h, hand[1]), s.length(name, 0.24, 0.3), 0, "over", bottom=False)
    else:
        s.put("over", role, name, hand[0], hand[1], s.length(name, 0.34, 0.38), 42 if name == "fishing rod" else 112)


def paddling(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.36, 0.42, 0.34, 0.42)
    hand = s.figure.at("shoulder", 0.2, 0.14)
    s.reach(hand, s.figure.at("shoulder", 0.14, 0.02))
    hand = s.hand()
    if name == "plank":
        s.centre("over", role, name, hand[0] + s.f * 0.1 * s.h, hand[1] + 0.14 * s.h, scale, 62)
    else:
        s.put("over", role, name, hand[0], hand[1], scale, s.u(135, 155))


def strummed(s: Stage, role: str, name: str) -> None:
    scale = s.length(name, 0.34, 0.38)
    x, y = s.figure.at("hip", 0.07, -0.12)
    if name == "harp":
        x, y = s.figure.at("hip", 0.22, -0.16)
        s.put("hand", role, name, x, y, scale)
        s.reach((x - s.f * 0.0 * s.h, y - 0.02 * s.h), (x + s.f * 0.1 * s.h, y - 0.06 * s.h))
        return
    piece = s.put("hand", role, name, x, y, scale, s.u(-10, 6))
    neck = s.spot(piece, "neck")
    s.reach((x + s.f * 0.02 * s.h, y + 0.02 * s.h), neck)


def tether(s: Stage, role: str, name: str) -> None:
    """Hold an animal's or a load's line; with something that is no line, lure or signal with it instead."""
    x0, y0, x1, y1 = s.boxes["item"]
    behind = (x0 + x1) / 2 * s.f < s.figure.joints["hip"][0] * s.f
    if name not in ROPELIKE:
        offered(s, role, name) if name == "carrot" else aloft(s, role, name)
        return
    if behind:
        s.reach(s.figure.at("shoulder", 0.04, 0.28) if s.figure.pose.lean < 20 else s.figure.at("shoulder", 0.1, 0.2))
    elif s.figure.pose.lean < -20:
        s.reach(s.figure.at("shoulder", 0.3, 0.06), s.figure.at("shoulder", 0.26, 0.08))
    hand = s.hand()
    edge = (x1 if s.f > 0 else x0) if behind else (x0 if s.f > 0 else x1)
    end = edge + (x0 + x1 - 2 * edge) * 0.12, y0 + 0.45 * (y1 - y0)
    s.strands.append((role, name, hand, end))
    s.put("hand", role, name, hand[0], hand[1], s.length(name, 0.2, 0.24), 180 if name in ("net", "hose") else 0)


def lead(s: Stage, role: str, name: str) -> None:
    if name in ROPELIKE:
        s.reach(s.figure.at("shoulder", 0.2, 0.2))
        tether(s, role, name)
    elif name == "cell phone":
        toeyes(s, role, name)
    else:
        aloft(s, role, name)
