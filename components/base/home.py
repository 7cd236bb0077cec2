"""Where state lives: everything that Foveate writes is under one folder, `.foveate/` or `FOVEATE_HOME`."""

import os
from pathlib import Path


def home() -> Path:
    """The state folder, absolute. Not created here: nothing is written by asking."""
    return Path(os.environ.get("FOVEATE_HOME") or ".foveate").absolute()


def state(*parts: str) -> Path:
    """A folder below the state folder, made if it is missing."""
    path = home().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
