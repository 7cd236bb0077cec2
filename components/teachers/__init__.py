"""Teachers behind one protocol, their answer cache and what they cost."""

from typing import TYPE_CHECKING, Any

from components.teachers.specs import Spec, parse

if TYPE_CHECKING:
    from components.teachers.protocol import Teacher

__all__ = ["Spec", "get", "parse"]


def get(spec: str = "embedded", features: Any = None) -> "Teacher":
    """The teacher that `spec` names (see `components.teachers.specs`), loaded.

    `features` is a `FeatureCache` of the frozen image encoder, from which a teacher that looks through that encoder
    reads instead of decoding pixels. Raises UserError for a spec that is wrong, and where the teacher cannot be loaded.
    """
    wanted = parse(spec)
    if wanted.backend == "transformers":
        from components.teachers.huggingface import TransformersTeacher

        return TransformersTeacher(wanted)
    if wanted.backend == "openai":
        from components.teachers.openai_server import OpenAITeacher

        return OpenAITeacher(wanted, features)
    if wanted.backend == "recorded":
        from components.teachers.recorded import RecordedTeacher

        return RecordedTeacher(wanted, features)
    from components.teachers.embedded import EmbeddedTeacher

    return EmbeddedTeacher(features)
