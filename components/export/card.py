"""The model card of a bundle, written from its manifest: what it is, how exact, how fast, and what it cannot do."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from components.base.text import code


def card(manifest: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> str:
    """Markdown. Every figure comes from the manifest's facts; what was not measured is said to be so."""
    facts, details = manifest["facts"], manifest["facts"]["details"]
    size, shipped, side = details["megabytes"], manifest["precision"], manifest["preprocessing"]["size"]
    lines = [
        f"# A `{manifest['recipe']}` student for the edge", "",
        _vocabulary_line(vocabulary),
        *(["Any other name given as text works too: the bundle carries its own text encoder."] if size["text_encoder"]
          else []), "",
        "## What ships", "",
        f"- {len(manifest['graphs'])} graphs ({', '.join(manifest['graphs'])}), shipped precision {shipped}; "
        f"{facts['size_mb']:.1f} MB in all"
        + (f", {size['text_encoder']:.1f} MB of them the text encoder." if size["text_encoder"] else "."),
        f"- Images are squashed to {side} x {side} pixels.", "",
        "## Exactness", "",
        f"- Largest difference between torch and ONNX fp32: {facts['parity']:.1e} of the output's range "
        f"({_verdict(details['parity'])}).",
        f"- {_int8_line(facts, details)}",
        *([f"- int8 text encoder: least cosine to torch {details['text_encoder']['cosine_min']:.4f} "
           f"over {details['text_encoder']['texts']} texts; its space is {code(details['text_encoder']['encoder'])}."]
          if size["text_encoder"] else []), "",
        f"## Speed ({details['latency']['threads']} threads, {details['latency']['processor']})", "",
        "| | torch | fp32 | int8 |", "|---|---|---|---|",
        _row("one photograph, preprocessing included", details["latency"]["image"]),
    ]
    for graph, batches in details["latency"]["graphs"].items():
        lines += [_row(f"{graph}, {batch.replace('_', ' ')}", times) for batch, times in batches.items()]
    lines += ["", "Median milliseconds, 95th percentile in brackets; the runtimes took turns.", "",
              "## Limits", "",
              "- It sees what it was trained to see; on other kinds of images its scores are low, and below "
              f"{manifest['decoding'].get('abstain_below', 0):.2f} it says that it is unsure." if
              "abstain_below" in manifest["decoding"] else "- It has no bar below which it says that it is unsure.",
              "- A name nobody trained on is only as good as its text is near to names that were.", "",
              "## Provenance", ""]
    lines += [f"- {name}: {code(str(value))}" for name, value in manifest["provenance"].items()]
    return "\n".join(lines) + "\n"


def _vocabulary_line(vocabulary: Mapping[str, Any]) -> str:
    """How many there are of everything that it has a name for; of what is ranked, which comes first, by group."""
    ranked, *others = vocabulary
    groups = Counter(entry.get("group", "listed") for entry in vocabulary[ranked].values())
    told = ", ".join(f"{count} {group.replace('_', '-')}" for group, count in groups.items())
    also = [f"{len(vocabulary[name])} {name}" for name in others]
    return f"Knows {sum(groups.values())} {ranked} by name ({told or 'none'})" + "".join(f", {a}" for a in also) + "."


def _verdict(parity: Mapping[str, Any]) -> str:
    failed = [name for name, result in parity.items() if not result["passed"]]
    bar = next(iter(parity.values()))["tolerance"]
    return f"ABOVE the tolerance {bar:g}: {', '.join(failed)}" if failed else f"tolerance {bar:g}, several batch sizes"


def _int8_line(facts: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    scores = details["int8"]["scores"]
    if scores is None:
        return "What int8 costs in accuracy was not measured."
    return (f"int8 costs {facts['int8_loss']:+.4f} of the metric on held-out samples "
            f"({scores['fp32']:.4f} at fp32, {scores['int8']:.4f} at int8).")


def _row(name: str, times: Mapping[str, Mapping[str, float]]) -> str:
    cells = [f"{times[r]['median_ms']:.1f} ({times[r]['p95_ms']:.1f})" for r in ("torch", "fp32", "int8")]
    return f"| {name} | " + " | ".join(cells) + " |"
