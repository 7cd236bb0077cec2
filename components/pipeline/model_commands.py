"""The commands on registered models: what is there and why, two of them side by side, promotion and the way back."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from components import recipes
from components.base.config import from_dict
from components.base.errors import UserError
from components.base.text import line
from components.pipeline import notices
from components.recipes.protocol import Gates
from components.registry import comparison, models, promotion
from components.registry.models import Version


def list_models(recipe: str) -> list[dict[str, Any]]:
    """Every version, newest first: number, status, aliases, when it was made, its few scores, digest of its bundle."""
    return [{"version": v.number, "status": v.tags.get("status", ""), "aliases": list(v.aliases),
             "created": datetime.fromtimestamp(v.created / 1000, UTC).isoformat(timespec="seconds"),
             "headline": json.loads(v.tags.get("headline", "{}")), "bundle": v.sha256}
            for v in models.versions(models.model_name(recipe))]


def listed(found: Sequence[Mapping[str, Any]]) -> str:
    """The list for a reader."""
    if not found:
        return "no model yet: foveate run"
    lines = [f"{'':>4}  {'status':<16} {'aliases':<22} {'made (UTC)':<17} {'bundle':<12} scores"]
    for one in found:
        scores = ", ".join(f"{k} {100 * v:.1f}" for k, v in one["headline"].items())
        lines.append(f"{one['version']:>4}  {one['status']:<16} {', '.join(one['aliases']):<22} "
                     f"{one['created'][:16].replace('T', ' '):<17} {one['bundle'][:12]:<12} {scores}".rstrip())
    return "\n".join(lines)


def show_model(recipe: str, which: str) -> dict[str, Any]:
    """One version in full, and every move of the alias that it took part in."""
    version = models.get(models.model_name(recipe), which)
    return {"model": version.name, "version": version.number, "aliases": list(version.aliases),
            "tags": {k: v for k, v in version.tags.items() if k not in ("decision", "gates")}, "run": version.run,
            "decision": json.loads(version.tags.get("decision", "null")),
            "gates": json.loads(version.tags.get("gates", "null")),
            "moves": [m for m in promotion.history(version.name) if version.number in (m["to"], m["from"])],
            "description": version.description}


def compare_models(recipe: str, before: str, after: str) -> dict[str, Any]:
    """Two versions side by side on the images that both were tested on, with paired intervals; moves nothing.

    Raises UserError where they were not scored on the same test version.
    """
    name = models.model_name(recipe)
    old, new = models.get(name, before), models.get(name, after)
    scores = [models.evaluation(v) for v in (old, new)]
    found = comparison.changes(scores[1], scores[0], gates_of(recipe, new).headline)
    if not found:
        raise UserError("they were not scored on the same test images", where=f"versions {old.number} and {new.number}",
                        mend="run `foveate evaluate` for both on one version of the data")
    rows = [{"metric": c.metric, "images": c.images, "before": c.before, "after": c.after, "gain": c.gain}
            for c in found]
    edge = {k: [s.edge.get(k) for s in scores] for k in sorted(scores[0].edge.keys() | scores[1].edge.keys())}
    return {"model": name, "before": old.number, "after": new.number, "changes": rows, "edge": edge}


def compared(found: Mapping[str, Any]) -> str:
    """The comparison for a reader; scores in per cent, each with its 95 % interval."""
    lines = [f"{found['model']}: version {found['before']} before, version {found['after']} after; "
             "per cent, 95 % intervals, the same images",
             f"{'':<24} {'images':>6}  {'before':<20} {'after':<20} change"]
    for row in found["changes"]:
        before, after = (f"{100 * v:5.1f} ({100 * low:.1f}-{100 * high:.1f})" for v, low, high in
                         (row["before"], row["after"]))
        value, low, high = (100 * v for v in row["gain"])
        lines.append(f"{row['metric']:<24} {row['images']:>6}  {before:<20} {after:<20} "
                     f"{value:+.1f} ({low:+.1f} to {high:+.1f})")
    lines += [f"{name:<24} {'':>6}  {_number(old):<20} {_number(new)}" for name, (old, new) in found["edge"].items()]
    return "\n".join(lines)


def promote_model(recipe: str, which: str, *, force: bool, reason: str) -> dict[str, Any]:
    """Judges a version against the champion by the gates it was last judged by; `force` moves the alias in any case."""
    name = models.model_name(recipe)
    version = models.get(name, which)
    outcome = promotion.promote(name, version.number, gates_of(recipe, version), force=_why(reason) if force else "")
    told = {"model": name, "version": outcome.version, "promoted": outcome.promoted, "former": outcome.former,
            "forced": outcome.forced, **outcome.decision.as_dict()}
    notices.promotion(told, [r["text"] for r in told["reasons"] if r["passed"] == outcome.decision.promote])
    return told


def judged(told: Mapping[str, Any]) -> str:
    """What promotion did, for a reader."""
    word = "is champion" if told["promoted"] else "is rejected"
    forced = f", by force: {told['forced']}" if told["forced"] else ""
    failed = [f"  {r['text']}" for r in told["reasons"] if not r["passed"]]
    return "\n".join([f"version {told['version']} of {told['model']} {word}{forced}", *failed])


def rollback_model(recipe: str, reason: str) -> dict[str, Any]:
    """The champion before this one is champion again; returns the recorded move."""
    name = models.model_name(recipe)
    promotion.rollback(name, reason=_why(reason))
    move = {"model": name, **promotion.history(name)[-1]}
    notices.rollback(move)
    return move


def gates_of(recipe: str, version: Version) -> Gates:
    """The gates that a version was last judged by, or those of the recipe as it is."""
    if recorded := version.tags.get("gates"):
        return from_dict(Gates, json.loads(recorded))
    known = recipes.get(recipe)
    return known.gates(known.config())


def _why(reason: str) -> str:
    if not reason.strip():
        raise UserError("is needed, and is recorded with the model", where="--reason", mend="say why in a sentence")
    return line(reason, 500)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
