"""What an ablation found, as a table (Markdown), figures (JSON) and a plot (PNG).

Differences are paired by seed: a seed has its own images, splits and initialisation, the same for all variants. Their
95 % interval is Student's t over seeds, so it holds whatever differs from seed to seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from components.base.artifacts import write_bytes, write_json
from components.evaluation import plots
from components.recipes.grids import Grid
from components.recipes.protocol import Report


@dataclass(frozen=True)
class Table:
    """`reports` {variant: {seed: report}}, the grid's subject among them; `teacher` {seed: its own figures}."""

    recipe: str
    grid: Grid
    budget: str
    reports: Mapping[str, Mapping[int, Report]]
    teacher: Mapping[int, Mapping[str, float]]

    @property
    def seeds(self) -> list[int]:
        return list(self.reports[self.grid.subject])

    def values(self, name: str, column: str) -> list[float]:
        """A variant's metric, seed by seed; empty where a seed has none."""
        metric = self.grid.columns[column]
        found = [report.metrics.get(metric) for report in self.reports[name].values()]
        return [] if None in found else found

    def gain(self, name: str, column: str) -> tuple[float, float, float] | None:
        """Subject minus variant: mean and 95 % interval over seeds; None where that cannot be told."""
        mine, theirs = self.values(self.grid.subject, column), self.values(name, column)
        return interval(np.subtract(mine, theirs)) if len(mine) > 1 and len(theirs) == len(mine) else None


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of n > 1 paired differences with its 95 % interval by Student's t with n - 1 degrees of freedom."""
    values = np.asarray(differences, float)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def write(table: Table, out: Path) -> None:
    """ablation.json with every figure, ablation.md with the tables, ablation.png with the differences."""
    out.mkdir(parents=True, exist_ok=True)
    grid = table.grid
    others = [name for name in table.reports if name != grid.subject]
    gains = {name: {c: list(g) for c in grid.compared if (g := table.gain(name, c))} for name in others}
    write_json(out / "ablation.json", {
        "recipe": table.recipe, "seeds": table.seeds, "budget": {table.budget: list(grid.budgets[table.budget])},
        "variants": {name: {"settings": list(grid.variants[name].changes),
                            "recipe": grid.variants[name].recipe or table.recipe,
                            **{c: table.values(name, c) for c in grid.columns},
                            "protocol": [r.protocol for r in table.reports[name].values()]} for name in table.reports},
        "teacher": {str(seed): dict(found) for seed, found in table.teacher.items()},
        f"gain_of_{grid.subject}": gains,
    })
    if any(gains.values()):
        plots.differences(gains, out / "ablation.png", title=f"{grid.subject} minus each variant, points")
    write_bytes(out / "ablation.md", page(table, gains).encode())


def page(table: Table, gains: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The tables as Markdown."""
    grid, seeds = table.grid, table.seeds
    columns = [c for c in grid.columns if table.values(grid.subject, c)]
    command = f"foveate ablate {table.recipe} --budget {table.budget} " + f"--seeds {','.join(map(str, seeds))}"
    if set(table.reports) < set(grid.variants):
        command += "".join(f' --only "{name}"' for name in table.reports if name != grid.subject)
    budget = ", ".join(grid.budgets[table.budget]) or "every setting at its default"
    lines = [
        f"# Ablation of {table.recipe}", "",
        f"Made by `{command}`; budget: {budget}. In per cent, mean ± standard deviation over {len(seeds)} seeds. A "
        "seed has its own images, splits and initialisation, which all rows share.", "",
        *rows(["", *columns], [[name, *(cell(table.values(name, c)) for c in columns)] for name in table.reports]
              + [["teacher", *(cell([found[grid.columns[c]] for found in table.teacher.values()
                                     if grid.columns[c] in found]) for c in columns)]]),
    ]
    if any(gains.values()):
        shown = [c for c in grid.compared if any(c in found for found in gains.values())]
        lines += [
            "", f"{grid.subject} minus each of the others, in points: mean over seeds of the paired difference, with "
            "its 95 % interval (Student's t over seeds).", "",
            *rows([f"{grid.subject} against", *shown],
                  [[name, *(difference(found.get(c)) for c in shown)] for name, found in gains.items()]),
            "", "![differences](ablation.png)",
        ]
    protocol = table.reports[grid.subject][seeds[0]].protocol
    lines += ["", f"Protocol of {grid.subject}, seed {seeds[0]}; that of every row and seed is in `ablation.json`:", "",
              *rows(["", ""], [[k, str(v)] for k, v in protocol.items()])]
    return "\n".join([*lines, ""])


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *body)]


def cell(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{100 * values[0]:.1f}" if values else ""
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"


def difference(found: Sequence[float] | None) -> str:
    """Bold where the interval leaves zero out."""
    if found is None:
        return ""
    mean, low, high = (100 * v for v in found)
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text
