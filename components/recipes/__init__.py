"""The recipes by name."""

import importlib

from components.base.errors import UserError, nearest

NAMES = ("mipd",)


def get(name: str):
    """The recipe called `name` (see `components.recipes.protocol.Recipe`); raises UserError for an unknown one."""
    if name not in NAMES:
        raise UserError(
            f"no recipe '{name}'", where="--recipe", mend=nearest(name, NAMES) or f"known: {', '.join(NAMES)}"
        )
    return importlib.import_module(f"components.recipes.{name}").RECIPE
