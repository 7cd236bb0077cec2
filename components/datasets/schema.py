"""The sample: one image with its identity and, if there is one, its annotation."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from components.base.artifacts import digest


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset. Images stay encoded (JPEG, PNG, WebP); `components.datasets.images` decodes them.

    `id` is the sha256 (hex) of `image`; `phash` a 64-bit perceptual hash (16 hex digits); `label` the class on which
    splits are made (a verb, a species, a pair), None where unlabelled; `annotation` the task's own JSON: for situations
    exactly a SWiG entry {"verb", "height", "width", "bb", "frames"}; `source` says where the image came from.
    """

    id: str
    name: str
    image: bytes = field(repr=False)
    width: int
    height: int
    phash: str
    source: str
    label: str | None = None
    annotation: dict[str, Any] | None = None


def sample_id(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def version_of(test: Iterable[Sample]) -> str:
    """The digest of test images with their annotations, whatever their order: names what two models were scored on."""
    return digest(sorted([s.id, s.label or "", digest(s.annotation)] for s in test))
