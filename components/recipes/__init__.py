"""The recipes by name."""

import importlib
import importlib.util

from components.base.errors import UserError, nearest

NAMES = ("mipd", "mipd-released", "near", "trident", "trident-released")
BUILT_ON = {"mipd-released": "mipd", "trident-released": "trident"}  # whose parts a recipe shares


def get(name: str):
    """The recipe called `name` (see `components.recipes.protocol.Recipe`); raises UserError for an unknown one."""
    if name not in NAMES:
        raise UserError(
            f"no recipe '{name}'", where="--recipe", mend=nearest(name, NAMES) or f"known: {', '.join(NAMES)}"
        )
    return importlib.import_module(packages(name)[0]).RECIPE


def grid(name: str):
    """The declared ablation of a recipe (see `components.recipes.grids.Grid`); raises UserError where there is none."""
    get(name)
    module = f"{packages(name)[0]}.ablation"
    if importlib.util.find_spec(module) is None:
        known = ", ".join(n for n in NAMES if importlib.util.find_spec(f"{packages(n)[0]}.ablation"))
        raise UserError(f"recipe '{name}' declares no ablation", where="ablate", mend=f"known: {known}")
    return importlib.import_module(module).GRID


def packages(name: str) -> tuple[str, ...]:
    """The packages that hold a recipe's code: its own, and that of the recipe it is built on."""
    return tuple(f"components.recipes.{n.replace('-', '_')}" for n in (name, BUILT_ON.get(name)) if n)
