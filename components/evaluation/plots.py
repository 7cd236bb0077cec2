"""The charts of a report: one clean, colour-blind-safe look, arrays and dictionaries in, PNG files out.

Colours are Okabe and Ito's. Scores are fractions in 0..1 and are drawn as per cent.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from components.base.artifacts import write_bytes
from components.evaluation.calibration import Reliability

GROUPS = {"seen": "#0072B2", "rare": "#E69F00", "unseen": "#009E73", "harmonic": "#8f4d86"}
_GROUP_TEXT = {"seen": "#005a8f", "rare": "#8a5a00", "unseen": "#00694c"}  # dark enough for small letters
_MORE = ("#56B4E9", "#D55E00", "#66717d")  # of what has no colour of its own
INK, MUTED, FAINT, ACCENT = "#1f2933", "#66717d", "#e3e7eb", "#D55E00"
_BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#c9e0f0", "#5aa2cf", "#0072B2", "#003f63"])
_MODELS = ("#b9c2cb", "#0072B2", "#E69F00", "#009E73", "#8f4d86", "#D55E00")
_LOOK = {
    "font.family": "DejaVu Sans", "font.size": 11, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
    "xtick.color": INK, "ytick.color": MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": FAINT, "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "axes.titlesize": 13,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 12,
}
MOST_VERBS = 60


@contextmanager
def axes_of(out: Path, width: float, height: float) -> Iterator[Axes]:
    """One pair of axes in inches; written as a PNG when the block ends, whole or not at all."""
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()
        stream = io.BytesIO()
        figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    write_bytes(out, stream.getvalue())


def headline(rows: Mapping[str, Mapping[str, Sequence[float]]], out: Path, *,
             title: str = "Verb accuracy, all names compete") -> Path:
    """Grouped bars with error bars: {model: {"seen" | "rare" | "unseen" | ...: (mean, low, high)}}.

    A bare (mean,) is drawn without error bar; a model without a group has a gap there. Models keep one colour each: the
    first (the baseline) is grey, the last hatched if it is the teacher.
    """
    groups = list(dict.fromkeys(g for row in rows.values() for g in row))
    with axes_of(out, 1.6 + 2.1 * len(groups), 4.4) as axes:
        width = 0.8 / len(rows)
        for i, (model, row) in enumerate(rows.items()):
            at = np.array([j + (i - (len(rows) - 1) / 2) * width for j, g in enumerate(groups) if g in row])
            values = np.array([(*row[g], row[g][0], row[g][0])[:3] for g in groups if g in row]) * 100  # [G, 3]
            teacher = "teacher" in model.lower() and "no teacher" not in model.lower()
            axes.bar(at, values[:, 0], width * 0.92, label=model, color="#ffffff" if teacher else _MODELS[i % 6],
                     edgecolor=MUTED if teacher else "none", hatch="////" if teacher else None, linewidth=0.8)
            axes.errorbar(at, values[:, 0], np.abs(values[:, 1:] - values[:, :1]).T, fmt="none", ecolor=INK,
                          elinewidth=1.2, capsize=3)
            for x, (mean, _, high) in zip(at, values, strict=True):
                axes.annotate(f"{mean:.0f}", (x, high), (0, 3), textcoords="offset points", ha="center", fontsize=10)
        axes.set_xticks(range(len(groups)), [g.capitalize() if g != "harmonic" else "Harmonic mean" for g in groups])
        axes.set(title=title, ylabel="per cent right", ylim=(0, 108), xlim=(-0.55, len(groups) - 0.45))
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=min(len(rows), 3))
    return out


def differences(rows: Mapping[str, Mapping[str, Sequence[float]]], out: Path, *, title: str) -> Path:
    """Paired differences, one line a variant: {variant: {"seen" | "rare" | ...: (mean, low, high)}} as fractions, drawn
    in points. Right of zero is better than the variant; an interval that crosses it proves nothing.
    """
    groups = list(dict.fromkeys(g for row in rows.values() for g in row))
    colours = GROUPS | dict(zip([g for g in groups if g not in GROUPS], _MORE, strict=False))
    with axes_of(out, 8.6, 1.6 + 0.5 * len(rows)) as axes:
        axes.axvline(0, color=INK, linewidth=1)
        for k, group in enumerate(groups):
            at = [(i + (k - (len(groups) - 1) / 2) * 0.76 / len(groups), row[group])
                  for i, row in enumerate(rows.values()) if group in row]
            place, values = np.array([a for a, _ in at]), 100 * np.array([v for _, v in at])
            axes.errorbar(values[:, 0], place, xerr=np.abs(values[:, 1:] - values[:, :1]).T, fmt="o", markersize=4.5,
                          color=colours.get(group, MUTED), elinewidth=1.6, capsize=2, label=group)
        axes.set_yticks(range(len(rows)), list(rows), fontsize=10, color=INK)
        axes.set(title=title, xlabel="points", ylim=(len(rows) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.6 / (0.5 * len(rows) + 1)), ncols=min(len(groups), 4))
    return out


def verb_bars(student: Mapping[str, float], groups: Mapping[str, str], out: Path, *,
              baseline: Mapping[str, float] | None = None, baseline_name: str = "labels only (no teacher)",
              title: str = "Accuracy per verb") -> Path:
    """One bar a verb, coloured by its group ({verb: "seen" | "rare" | "unseen"}), best first within a group.

    `baseline` is drawn as a dark mark on the bar. All verbs are shown; the picture grows with their number.
    """
    order = {g: i for i, g in enumerate(GROUPS)}
    verbs = sorted(student, key=lambda v: (order.get(groups.get(v, ""), len(order)), -student[v], v))
    with axes_of(out, 8.6, 1.8 + 0.24 * len(verbs)) as axes:
        at = np.arange(len(verbs))
        colours = [GROUPS.get(groups.get(v, ""), MUTED) for v in verbs]
        axes.barh(at, [100 * student[v] for v in verbs], 0.74, color=colours)
        handles = [Patch(color=c, label=g) for g, c in GROUPS.items() if g in groups.values()]
        if baseline is not None:
            of = [i for i, v in enumerate(verbs) if v in baseline]
            handles += axes.plot([100 * baseline[verbs[i]] for i in of], of, "|", color=INK, markersize=10,
                                 markeredgewidth=2.4, label=baseline_name, linestyle="none")
        axes.set_yticks(at, verbs, fontsize=10, color=INK)
        axes.set(title=title, xlabel="per cent of its images right", xlim=(-0.8, 101),
                 ylim=(len(verbs) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.5 / (0.24 * len(verbs) + 1)),
                    ncols=len(handles))
    return out


def confusion_counts(true: Sequence[str], predicted: Sequence[str], verbs: Sequence[str]) -> np.ndarray:
    """[V, V] how often each true verb (row) was taken for each verb (column); KeyError for one not in `verbs`."""
    place = {verb: i for i, verb in enumerate(verbs)}
    matrix = np.zeros((len(verbs), len(verbs)), int)
    np.add.at(matrix, ([place[v] for v in true], [place[v] for v in predicted]), 1)
    return matrix


def confusion(matrix: np.ndarray, verbs: Sequence[str], groups: Mapping[str, str], out: Path, *,
              title: str = "Which verb is taken for which") -> Path:
    """Counts [V, V] (row true, column predicted) drawn row-normalised, ordered by group.

    With more than 60 verbs only the 60 with the largest share of errors are shown, and the title says so.
    """
    matrix = np.asarray(matrix, float)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    keep = np.arange(len(verbs))
    if len(verbs) > MOST_VERBS:
        keep = most_confused(share, MOST_VERBS)
        title += f" (the {MOST_VERBS} most confused of {len(verbs)})"
    order = {g: i for i, g in enumerate(GROUPS)}
    keep = sorted(keep, key=lambda i: (order.get(groups.get(verbs[i], ""), len(order)), verbs[i]))
    names = [verbs[i] for i in keep]
    side = 3.0 + 0.19 * len(names)
    with axes_of(out, side + 0.7, side) as axes:
        image = axes.imshow(100 * share[np.ix_(keep, keep)], cmap=_BLUES, norm=PowerNorm(0.6, 0, 100))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            for label, name in zip(labels, names, strict=True):
                label.set_color(_GROUP_TEXT.get(groups.get(name, ""), INK))
        kinds = [groups.get(n, "") for n in names]
        for i in range(1, len(names)):
            if kinds[i] != kinds[i - 1]:
                axes.axhline(i - 0.5, color=MUTED, linewidth=0.8)
                axes.axvline(i - 0.5, color=MUTED, linewidth=0.8)
        legend = [f"{c} {g}" for g, c in (("seen", "blue"), ("rare", "orange"), ("unseen", "green")) if g in kinds]
        axes.set(title=title, xlabel="predicted" + (f"   ({', '.join(legend)})" if legend else ""), ylabel="true")
        axes.grid(visible=False)
        axes.figure.colorbar(image, shrink=0.6, label="per cent of the true one's images")
    return out


def most_confused(share: np.ndarray, count: int) -> np.ndarray:
    """The `count` rows of a row-normalised confusion matrix [V, V] that lose or attract most, in ascending order."""
    off = share - np.diag(np.diag(share))
    return np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:count])


def reliability_diagram(bins: Reliability, out: Path, *, title: str = "Is the confidence honest?") -> Path:
    """Accuracy against confidence, bin by bin; the dot grows with the number of images in the bin."""
    with axes_of(out, 5.2, 4.9) as axes:
        axes.plot([0, 100], [0, 100], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label="perfectly honest")
        full = bins.count > 0
        x, y, count = 100 * bins.confidence[full], 100 * bins.accuracy[full], bins.count[full]
        axes.vlines(x, np.minimum(x, y), np.maximum(x, y), color=ACCENT, linewidth=1.6, alpha=0.6, label="gap")
        axes.plot(x, y, color=GROUPS["seen"], linewidth=1.6)
        axes.scatter(x, y, 30 + 220 * count / count.max(), color=GROUPS["seen"], edgecolor="white", zorder=3,
                     label="a tenth of the scale; size = images" if len(bins.count) == 10 else "a bin; size = images")
        axes.set(title=title, xlabel="confidence, per cent", ylabel="really right, per cent", xlim=(-3, 103),
                 ylim=(-3, 103), aspect="equal")
        axes.text(0.97, 0.05, f"expected calibration error {100 * bins.ece:.1f} points", transform=axes.transAxes,
                  ha="right", color=MUTED, fontsize=10)
        axes.legend(loc="upper left", fontsize=10, markerscale=0.6)
    return out
