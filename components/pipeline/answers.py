"""The commands on what was asked and what it cost: plain arguments in, text or a record out."""

import contextlib
import dataclasses
import re
import time
from pathlib import Path
from typing import Any

from components.base.errors import PipelineError, UserError
from components.teachers import exchange, ledger
from components.teachers.cache import AnswerCache

UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def stats() -> dict[str, Any]:
    """How many answers there are, of which teachers, kinds and runs, in how many bytes."""
    with _cache() as cache:
        found = dataclasses.asdict(cache.stats())
    del found["damaged"]  # those met by this object: none
    each = round(found["bytes"] / found["answers"]) if found["answers"] else 0
    return {"answers": found.pop("answers"), "bytes": found.pop("bytes"), "bytes_an_answer": each} | found


def stats_text(found: dict[str, Any]) -> str:
    lines = [f"{found['answers']:,} answers in {found['bytes']:,} bytes ({found['bytes_an_answer']:,} each)"]
    for group in ("teachers", "kinds", "runs"):
        lines += [f"{group}:", *(f"  {count:>12,}  {name}" for name, count in found[group].items())]
    if found["former"]:
        lines.append(f"{found['former']} is of an earlier version and is not read; it may be removed")
    return "\n".join(lines)


def verify() -> str:
    """Raises PipelineError where answers are damaged, UserError where a whole file is."""
    with _cache() as cache:
        bad, count = cache.verify(), cache.stats().answers
    if bad:
        images = ", ".join(key[:32].hex() for key in bad[:3])
        raise PipelineError(f"{len(bad):,} of {count:,} answers are damaged, about images {images} ...\n"
                            "  they count as missing; remove them: foveate rationales cache prune --damaged --yes")
    return f"{count:,} answers, all sound"


def prune(older_than: str, teacher: str, run: str, damaged: bool, really: bool) -> str:
    """`older_than` is a number of hours, days or weeks ("36h", "90d", "8w"), or ""."""
    before = time.time() - _seconds(older_than) if older_than else None
    with _cache() as cache:
        count = cache.prune(before=before, teacher=teacher, run=run, damaged=damaged, really=really)
    if really:
        return f"{count:,} answers removed; what they cost stays in the ledger"
    return f"{count:,} answers would be removed, and paid for again where they are needed; to do so, add --yes"


def export(file: Path, teacher: str) -> str:
    with _cache() as cache:
        return f"{exchange.export(cache, file, teacher):,} answers in {file}"


def bring_in(file: Path) -> str:
    with _cache() as cache:
        new, total = exchange.bring_in(cache, file)
    return f"{new:,} new answers, {total - new:,} were there"


def cost(by: str) -> dict[str, dict[str, Any]]:
    """What this state folder has spent, by "run", "teacher", "dataset" or "kind", with the sum under "all"."""
    with _cache() as cache:
        found = ledger.totals(cache, by)
    whole = sum(found.values(), ledger.Spent())
    return {name: dataclasses.asdict(spent) for name, spent in (found | {"all": whole}).items()}


def cost_text(found: dict[str, dict[str, Any]]) -> str:
    if not found["all"]["requests"]:
        return "nothing was asked yet"
    width = max(map(len, found))
    head = "".join(f"{name:>{size}}" for name, size in (
        ("", width), ("requests", 11), ("failed", 9), ("tokens in", 14), ("tokens out", 14), ("hours", 10),
        ("dollars", 12)))
    return "\n".join([head, *(
        f"{name:{width}} {s['requests']:>10,} {s['failures']:>8,} {s['tokens_in']:>13,} {s['tokens_out']:>13,} "
        f"{s['seconds'] / 3600:>9,.2f} {s['dollars']:>11,.4f}" for name, s in found.items())])


def _cache() -> contextlib.closing:
    return contextlib.closing(AnswerCache())


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([hdw])", text.strip())
    if not found:
        raise UserError(f"'{text}' is no time span", where="--older-than", mend="for example 36h, 90d or 8w")
    return int(found[1]) * UNITS[found[2]]
