"""The written report: one self-contained HTML page that a stakeholder reads in a minute and can pass on as a file."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from components.base.config import flat
from components.base.errors import UserError, nearest
from components.evaluation import page

Verdict = Literal["promoted", "rejected", "evaluated"]

VERDICTS = {"promoted": "Promoted", "rejected": "Rejected", "evaluated": "Evaluated only"}

MEANING = {
    "seen": "verbs met in training, on images that were held out",
    "rare": "seen verbs with only a handful of training images",
    "unseen": "verbs of which training held no image, no box and no rationale",
    "among unseen": "the same images when only the names of unseen verbs compete",
    "harmonic": "2SU/(S+U) of seen and unseen: high only if both are high",
    "verb": "the verb is right",
    "value": "share of roles with a right noun",
    "value_all": "all nouns of the image are right",
    "grnd_value": "share of roles with a right noun and a right box (or rightly no box)",
    "grnd_value_all": "all nouns and all boxes of the image are right",
    "top1": "the verb ranked first must be right",
    "top5": "the verb must be among the first five",
    "gt": "the true verb is given",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file to be inlined (PNG, JPEG, WebP), with a heading and a sentence that says what it shows.

    Charts stand two in a row, `wide` ones alone.
    """

    path: Path
    title: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A small table: column heads, rows of text or numbers (floats are shown with `digits` decimals), a note below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    digits: int = 1


@dataclass(frozen=True, slots=True)
class ReportContext:
    """All that the page can show; an empty section is left out. All text may be untrusted: the page escapes it.

    `headline`: {model: {"seen" | "rare" | "unseen" | "harmonic": (mean, low, high) or (mean,)}} in 0..1, and what it
    measures in `measure`; the model named in `subject` is emphasised. `numbers`: {slice: the scorer's 14 numbers in
    0..1}, averaged as `averaging` says. `protocol`: questions about the zero-shot protocol with their answers. `edge`:
    facts of the bundle (latency, size, loss of int8, parity) as shown text. `data`, `made`: dataset and code versions,
    run ids. `settings`: the complete nested settings.
    """

    title: str
    subtitle: str = ""
    verdict: Verdict = "evaluated"
    reasons: Sequence[str] = ()
    subject: str = ""
    measure: str = ""
    headline: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    averaging: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    plots: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    edge: Mapping[str, Any] = field(default_factory=dict)
    edge_tables: Sequence[Table] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)


def render(context: ReportContext | Mapping[str, Any], out: Path) -> Path:
    """Writes the page, images inlined, scripts none; returns `out`.

    A mapping is read as the fields of ReportContext. Raises UserError for an unknown field or verdict and for a picture
    that is missing or of a kind that browsers do not show.
    """
    if not isinstance(context, ReportContext):
        known = {f.name for f in dataclasses.fields(ReportContext)}
        if unknown := sorted(context.keys() - known):
            raise UserError(f"no section '{unknown[0]}'", where="report", mend=nearest(unknown[0], known))
        context = ReportContext(**context)
    if context.verdict not in VERDICTS:
        raise UserError(f"no verdict '{context.verdict}'", where="report", mend=f"use one of: {', '.join(VERDICTS)}")
    return page.write(
        out, "report.html.j2", title=context.title, c=context, verdict=VERDICTS[context.verdict], meaning=MEANING,
        settings=flat(dict(context.settings)),
        groups=list(dict.fromkeys(g for row in context.headline.values() for g in row)),
        settings_of_numbers=[("top1", "verb ranked first"), ("top5", "true verb in the first five"),
                             ("gt", "true verb given")],
        role_numbers=("verb", "value", "value_all", "grnd_value", "grnd_value_all"))
