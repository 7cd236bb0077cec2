"""What an ablation is made of: variants of recipes that differ in settings and share data, teacher and budget."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table: a recipe ("": the one that is ablated) with changed settings, as `--set` takes them."""

    changes: tuple[str, ...] = ()
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A declared ablation. All `variants` are compared with `subject`, one of them, in the metrics of `compared`.

    `budgets` are changes that hold for every variant, by name, the first by default; `columns` {heading: metric of the
    report} are those of the table.
    """

    subject: str
    variants: Mapping[str, Variant]
    budgets: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, str]
    compared: tuple[str, ...]
