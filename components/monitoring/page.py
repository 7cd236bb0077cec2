"""The drift page: verdict, the four tests, and pictures of how the window differs from the reference."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from components.evaluation import page
from components.evaluation.plots import ACCENT, INK, MUTED, axes_of
from components.monitoring.drift import NAMES, Drift, Settings, strangest
from components.monitoring.log import embeddings

VERDICTS = {"steady": "No drift", "drift": "Drift", "too few": "Too few predictions"}
SHOWN = 6  # of the strangest images, where images were kept


def render(found: Drift, reference: pa.Table, window: pa.Table, settings: Settings, about: Mapping[str, str],
           out: Path) -> Path:
    """Writes drift.html with its plots below `out`; `about` {fact: text} says which model and data this is."""
    plots: list[tuple[Path, str]] = []
    images: list[Path] = []
    if found.tests:
        plots = [(_map(reference, window, out / "map.png"), "Every dot is an image, as the student sees it; dots that "
                  "lie where no grey one does are of a kind it was not tested on"),
                 (_verbs(found, out / "verbs.png"), "The answers whose share changed most"),
                 (_scores(reference, window, out / "score.png"), "How sure the student is of its answers")]
        images = _images(window, strangest(reference, window, SHOWN), out)
    return page.write(out / "drift.html", "drift.html.j2", title=f"{about.get('model', 'Student')}: drift",
                      verdict=VERDICTS[found.verdict], d=found, names=NAMES, settings=settings, plots=plots,
                      images=images, about=about)


def _map(reference: pa.Table, window: pa.Table, out: Path) -> Path:
    """Both sets on the two directions in which they spread most together (principal components)."""
    a, b = embeddings(reference), embeddings(window)
    both = np.concatenate([a, b])
    centre = both.mean(0)
    directions = np.linalg.svd(both - centre, full_matrices=False)[2][:2]
    with axes_of(out, 6.4, 5.0) as axes:
        for points, colour, name in ((a, "#b9c2cb", "reference"), (b, ACCENT, "window")):
            at = (points - centre) @ directions.T
            axes.scatter(at[:, 0], at[:, 1], s=14, color=colour, alpha=0.7, label=name, linewidths=0)
        axes.set(title="What it sees", xticks=[], yticks=[])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    return out


def _verbs(found: Drift, out: Path) -> Path:
    names = [v for v, _, _ in found.verbs]
    at = np.arange(len(names))
    with axes_of(out, 6.4, 1.8 + 0.28 * len(names)) as axes:
        axes.barh(at - 0.2, [100 * s for _, s, _ in found.verbs], 0.38, color="#b9c2cb", label="reference")
        axes.barh(at + 0.2, [100 * s for _, _, s in found.verbs], 0.38, color=ACCENT, label="window")
        axes.set_yticks(at, [n[:30].replace("$", r"\$") for n in names], fontsize=10, color=INK)
        axes.set(title="What it answers", xlabel="per cent of answers", ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower right")
    return out


def _scores(reference: pa.Table, window: pa.Table, out: Path) -> Path:
    bins = np.linspace(0, 1, 21)
    with axes_of(out, 6.4, 3.8) as axes:
        for table, colour, name, kind in ((reference, MUTED, "reference", "stepfilled"),
                                          (window, ACCENT, "window", "step")):
            values = table["score"].to_numpy()
            axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), histtype=kind, color=colour,
                      alpha=0.4 if kind == "stepfilled" else 1, linewidth=2, label=name)
        axes.set(title="How sure it is", xlabel="confidence in the answer", ylabel="per cent of answers", xlim=(0, 1))
        axes.legend()
    return out


def _images(window: pa.Table, rows: Sequence[int], out: Path) -> list[Path]:
    """The images of some rows as small JPEGs, where they were kept."""
    files = []
    for number, row in enumerate(rows):
        content = window["image"][row].as_py()
        if content:
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            picture.thumbnail((240, 240))
            files.append(out / f"strange-{number}.jpg")
            picture.save(files[-1], quality=85)
    return files
