"""Where state lives: everything that Foveate writes is under one folder, `.foveate/` or `FOVEATE_HOME`."""

import os
import sys
from pathlib import Path


def home() -> Path:
    """The state folder, absolute. Not created here: nothing is written by asking."""
    return Path(os.environ.get("FOVEATE_HOME") or ".foveate").absolute()


def state(*parts: str) -> Path:
    """A folder below the state folder, made if it is missing."""
    path = home().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def environment() -> Path:
    """A folder of this Python environment, for what follows from the installed packages alone, such as an exported
    frozen encoder: made once per environment, not once per state folder. It goes when the environment goes.
    """
    return Path(sys.prefix) / "share" / "foveate"
