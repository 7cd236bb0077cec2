"""The promotion page for a stakeholder: verdict, three reasons, before and after, pictures whose answer changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.evaluation import page
from components.evaluation.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class Row:
    """A metric before and after, in 0..1, each (value, low, high)."""

    name: str
    images: int
    before: Interval
    after: Interval
    gain: Interval


@dataclass(frozen=True, slots=True)
class Fact:
    """What was measured of the bundle, as shown text; `kept`: within its limit."""

    name: str
    before: str
    after: str
    limit: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One reason of the gate, as it was written down."""

    text: str
    passed: bool


@dataclass(frozen=True, slots=True)
class PromotionContext:
    """All that the page shows; an empty section is left out. All text may be untrusted: the page escapes it.

    `before`, `after` name the two versions ("version 3"; before "" where there was no champion); `counted` says how
    many answers changed, `pictures` {heading: [(file, caption)]} shows some, before and after in turn.
    """

    title: str
    subtitle: str
    verdict: str
    promoted: bool
    reasons: Sequence[str]
    before: str
    after: str
    changes: Sequence[Row] = ()
    edge: Sequence[Fact] = ()
    counted: str = ""
    pictures: Mapping[str, Sequence[tuple[Path, str]]] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    made: Mapping[str, str] = field(default_factory=dict)


def render(context: PromotionContext, out: Path) -> Path:
    """Writes the page; returns `out`. Raises UserError for a picture that is missing."""
    return page.write(out, "promotion.html.j2", title=context.title, c=context)
