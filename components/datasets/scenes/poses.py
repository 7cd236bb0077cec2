"""The poses of the drawn world: a phrase in plain words for each, and the joint angles behind it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pose:
    """Joint angles in degrees. 0 points down, positive swings forward (the way the figure faces).

    `lean` is the trunk's angle from upright; a limb is (upper part, lower part relative to the upper), near side first.
    `rest` names what carries the body: feet, knees, seat, back, front, air or wall.
    """

    lean: float
    near_arm: tuple[float, float]
    far_arm: tuple[float, float]
    near_leg: tuple[float, float]
    far_leg: tuple[float, float]
    rest: str = "feet"


POSES: dict[str, Pose] = {
    "standing upright": Pose(0, (14, 12), (-12, 8), (4, 0), (-8, 0)),
    "reaching forward with one arm": Pose(8, (82, 8), (-24, 30), (16, -6), (-14, -4)),
    "holding something in both hands": Pose(-2, (34, 62), (44, 56), (6, 0), (-10, 0)),
    "holding something to the face": Pose(0, (58, 98), (52, 104), (6, 0), (-10, 0)),
    "stooping over": Pose(52, (24, 14), (40, 10), (16, -16), (-12, -12)),
    "crouching with bent knees": Pose(30, (82, 12), (-62, -16), (66, -84), (34, -84)),
    "kneeling on the ground": Pose(14, (58, 22), (40, 30), (72, -90), (-4, -88), "knees"),
    "sitting down": Pose(4, (48, 44), (38, 50), (84, -84), (76, -78), "seat"),
    "riding astride": Pose(14, (62, 18), (56, 22), (52, -50), (44, -46), "seat"),
    "lying down flat": Pose(-87, (64, 40), (104, 0), (90, 2), (84, 8), "back"),
    "stretched out face down": Pose(82, (142, -34), (80, 10), (-86, -6), (-100, -10), "front"),
    "kicking with one leg": Pose(-18, (-52, -12), (64, 20), (84, -4), (-8, -6)),
    "raising both arms": Pose(0, (158, 12), (-160, -8), (8, 0), (-10, 0)),
    "raising one arm": Pose(0, (156, 10), (-16, -8), (6, 0), (-10, 0)),
    "striking down with one arm": Pose(12, (140, 24), (48, 24), (24, -12), (-22, -6)),
    "throwing with one arm": Pose(-14, (-126, -24), (72, 10), (36, -12), (-20, -14)),
    "running with long strides": Pose(18, (52, 80), (-54, 66), (62, -56), (-34, -62)),
    "walking with a stride": Pose(3, (28, 24), (-26, 14), (26, -4), (-24, -10)),
    "leaping in the air": Pose(10, (116, 16), (-108, -14), (78, -66), (-52, -44), "air"),
    "climbing up": Pose(6, (164, 12), (112, 52), (78, -92), (2, -8), "wall"),
    "leaning forward and pushing": Pose(38, (84, 10), (76, 14), (34, -22), (-40, -8)),
    "leaning back and pulling": Pose(-34, (82, 6), (74, 8), (42, 4), (26, 4)),
}
