"""Teachers behind one protocol, their answer cache and what they cost."""

from components.base.errors import UserError, nearest

BACKENDS = ("embedded",)


def get(name: str = "embedded", features=None):
    """The teacher called `name` (see `components.teachers.protocol.Teacher`).

    `features` is a `FeatureCache` that a teacher built on the same frozen encoder may read instead of pixels.
    """
    if name not in BACKENDS:
        raise UserError(
            f"no teacher '{name}'", where="--teacher", mend=nearest(name, BACKENDS) or f"known: {', '.join(BACKENDS)}"
        )
    from components.teachers.embedded import EmbeddedTeacher

    return EmbeddedTeacher(features)
