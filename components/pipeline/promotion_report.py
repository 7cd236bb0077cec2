"""Why a version was promoted or not, for a stakeholder: a page with before, after and changed pictures, and a note."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components import recipes
from components.base.artifacts import code_version, produce
from components.base.errors import UserError
from components.base.text import line, prose
from components.datasets.images import load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation import pictures
from components.evaluation.promotion_page import Check, Fact, PromotionContext, Row, render
from components.pipeline import notices
from components.pipeline.plan import Plan
from components.pipeline.steps import step
from components.recipes.protocol import Gates
from components.registry import comparison, models, tracking
from components.registry.comparison import Evaluation

SHOWN = 3  # pictures of each kind
TRIED = 12  # images on which both bundles are run to find them
NAMES = {"harmonic": "Seen and unseen verbs together (harmonic mean)", "seen.top1_verb": "Seen verbs",
         "common.top1_verb": "Common verbs", "rare.top1_verb": "Rare verbs", "unseen.top1_verb": "Unseen verbs",
         "top1_verb": "All test images, verb right", "top1_value": "All test images, roles with the right noun",
         "top1_grnd_value": "All test images, roles with the right noun and box"}
FACTS = {"latency_ms": ("Time for a photograph", "{:.1f} ms"), "size_mb": ("Size", "{:.1f} MB"),
         "int8_loss": ("Accuracy lost by int8", "{:.3f}"), "parity": ("Difference from training", "{:.1e}")}
ORDER = ("test", "headline", "protected", "source", "minimum", "budget", "champion", "quality")


def write(plan: Plan, run: str, made: Mapping[str, str]) -> str:
    """The folder of promotion.html and note.md; also logged to MLflow with the run."""
    with step(run, "promotion report") as here:
        told = json.loads((Path(made["promotion"]) / "promotion.json").read_text())
        gates = recipes.get(plan.recipe).gates(plan.config())

        def work(part: Path) -> None:
            context = _context(told, gates, plan, made, part)
            render(context, part / "promotion.html")
            (part / "note.md").write_text(note(context), "utf-8")

        key = {"told": told, "dataset": Path(made["dataset"]).name, "splits": Path(made["splits"]).name,
               "code": code_version("components.evaluation", "components.pipeline.promotion_report",
                                    "components.registry.comparison")}
        path, known = produce("promotion-report", key, work)
        if not known:
            notices.promotion(told, reasons(told["reasons"]))
        for owner in (here.run, tracking.Run(run, here.run.client)):
            owner.log_figure(path / "promotion.html", "promotion")
        here.says("why, in a page")
    return str(path)


def note(context: PromotionContext) -> str:
    """The same in Markdown, short: what Prefect and messages show."""
    lines = [f"## {prose(context.title)}", "", *(f"{i}. {prose(r)}" for i, r in enumerate(context.reasons, 1)), ""]
    if context.changes:
        lines += [f"| per cent | {prose(context.before)} | {prose(context.after)} | change (95 %) |",
                  "|---|---|---|---|"]
        lines += [f"| {prose(r.name)} | {100 * r.before[0]:.1f} | {100 * r.after[0]:.1f} | {_points(r.gain)} |"
                  for r in context.changes]
    return "\n".join([*lines, "", "The page with pictures is `promotion/promotion.html` of the run in MLflow."])


def _context(told: Mapping[str, Any], gates: Gates, plan: Plan, made: Mapping[str, str],
             part: Path) -> PromotionContext:
    name, new = told["model"], models.get(told["model"], told["version"])
    old = models.get(name, told["former"]) if told["former"] is not None else None
    after, before = models.evaluation(new), models.evaluation(old) if old else None
    changes = comparison.changes(after, before, gates.headline, plan.seed) if before else []
    flips = _flips(after, before, gates) if changes else None
    counted, shown = _pictures(flips, plan, told, made, part) if flips else ("", {})
    verdict = "Promoted" if told["promoted"] else "Rejected"
    versus = f"Judged against version {old.number}, the champion then." if old else "There was no champion before."
    return PromotionContext(
        title=f"{name}, version {new.number}: {verdict.lower()}",
        subtitle=new.tags.get("summary", "").replace("`", "") + f" {versus}",
        verdict=verdict, promoted=told["promoted"], reasons=reasons(told["reasons"]),
        before=f"version {old.number}" if old else "", after=f"version {new.number}",
        changes=[Row(NAMES.get(c.metric, c.metric), c.images, c.before, c.after, c.gain) for c in changes],
        edge=_facts(after, before, gates), counted=counted, pictures=shown,
        checks=[Check(r["text"], r["passed"]) for r in told["reasons"]],
        made={"teacher": new.tags.get("teacher_identity", ""), "code": new.tags.get("code", ""), "MLflow run": new.run,
              "test version": after.test[:16], **{k: v[:16] for k, v in new.tags.items() if k.startswith("dataset.")}})


def reasons(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The three that matter most, as sentences: what failed comes first, then what it was about."""
    ranked = sorted(found, key=lambda r: (r["passed"], ORDER.index(r["check"].partition(".")[0])))
    return [_sentence(r) for r in ranked[:3]]


def _sentence(reason: Mapping[str, Any]) -> str:
    """A reason in a stakeholder's words; one that has no number in 0..1 stays as it was written."""
    kind, _, name = reason["check"].partition(".")
    value, bar, good = reason["value"], reason["bar"], reason["passed"]
    if value is None or bar is None:
        return reason["text"][:1].upper() + reason["text"][1:] + "."
    if reason["check"] == "headline.better":
        return f"It is {'better' if good else 'not better'} than the champion: {100 * value:+.1f} points."
    if reason["check"] == "headline.not_worse":
        allowed = f"; down to {100 * bar:.1f} is allowed" if bar else ""
        return f"At worst (95 %) the change is {100 * value:+.1f} points{allowed}."
    if kind == "protected":
        return (f"{NAMES.get(name, name)}: {100 * value:.1f} per cent, "
                f"{'no less' if good else 'less'} than the {100 * bar:.1f} that protect them.")
    if kind == "source":
        return (f"Images from {name}: {100 * value:+.1f} points; "
                f"{'within' if good else 'more than'} the allowed {100 * bar:.1f}.")
    if kind == "minimum":
        return (f"{NAMES.get(name, name)}: {100 * value:.1f} per cent, {'at least' if good else 'below'} the bar of "
                f"{100 * bar:.1f}.")
    words, form = FACTS.get(name, (name, "{:.4g}"))
    return f"{words}: {form.format(value)}, {'within' if good else 'over'} the limit of {form.format(bar)}."


def _facts(after: Evaluation, before: Evaluation | None, gates: Gates) -> list[Fact]:
    out = []
    for name, (words, form) in FACTS.items():
        shown = [form.format(of.edge[name]) if of and of.edge.get(name) is not None else "–" for of in (before, after)]
        limit = gates.budgets.get(name)
        kept = limit is None or (after.edge.get(name) is not None and after.edge[name] <= limit)
        out.append(Fact(words, *shown, form.format(limit) if limit is not None else "none", kept))
    return out


def _flips(after: Evaluation, before: Evaluation, gates: Gates) -> tuple[list[str], list[str], int] | None:
    """Images whose answer became right, those whose became wrong, and of how many; None without scores per image."""
    metric = next(iter(gates.per_source), gates.headline)
    old, new = before.per_sample.get(metric), after.per_sample.get(metric)
    if not old or not new:
        return None
    both = sorted(old.keys() & new.keys())
    return [i for i in both if new[i] > old[i]], [i for i in both if new[i] < old[i]], len(both)


def _pictures(flips: tuple[list[str], list[str], int], plan: Plan, told: Mapping[str, Any], made: Mapping[str, str],
              part: Path) -> tuple[str, dict[str, list[tuple[Path, str]]]]:
    """A sentence that counts the changes, and some of them drawn: both bundles are run on them as on the device."""
    from components.serving.predictor import Predictor

    gained, lost, total = flips
    counted = (f"Of {total:,} test images {len(gained):,} became right and {len(lost):,} became wrong. "
               f"Some of them, as the two bundles answer:")
    recipe, data, names = recipes.get(plan.recipe), Dataset(Path(made["dataset"])), {}
    test = Splits.load(Path(made["splits"]) / "splits.json").test
    ids = {s.name: s.id for s in data.samples(test, images=False)}
    if data.space:
        names = {synset: entry["gloss"][0] for synset, entry in data.space["nouns"].items()}
    try:
        predictors = {n: Predictor(models.bundle_path(told["model"], n)) for n in (told["former"], told["version"])}
    except UserError as error:  # a former bundle may be gone or of an older kind: the page is no place to fail
        return f"{counted} they cannot be drawn ({line(error.what)}).", {}
    shown: dict[str, list[tuple[Path, str]]] = {}
    for kind, images in (("Right now, wrong before", gained), ("Wrong now, right before", lost)):
        files: list[tuple[Path, str]] = []
        for image in images[:: max(1, len(images) // TRIED)][:TRIED]:
            sample = data.get(ids[image])
            pixels = load_image(sample.image, sample.name)
            answers = {n: p.predict([pixels])[0] for n, p in predictors.items()}
            if len({a[recipe.labels][0] for a in answers.values()}) < len(answers):
                continue  # on the device they agree after all
            for number, answer in answers.items():
                file = part / f"{'right' if images is gained else 'wrong'}-{len(files)}-{number}.jpg"
                truth = sample.annotation or {recipe.label: sample.label, "frames": []}
                pictures.overlay(pixels, answer, truth, names, kind=(recipe.labels, recipe.label),
                                 right=bool(recipe.right([answer[recipe.labels][0]], [sample.label]))
                                 ).save(file, quality=86)
                files.append((file, f"version {number}"))
            if len(files) == 2 * SHOWN:
                break
        if files:
            shown[kind] = files
    return counted, shown


def _points(gain: comparison.bootstrap.Interval) -> str:
    return f"{100 * gain[0]:+.1f} ({100 * gain[1]:+.1f} to {100 * gain[2]:+.1f})"
