"""Draws the secrets of new servers into a file that only its owner reads: `python -m infra.servers.secrets FILE`.

The file is `.env` beside compose.yaml, or `secrets.env` beside kustomization.yaml. No password has a default:
without this file (or the same variables, set in another way) neither of the two starts.
"""

import os
import secrets
import sys
from pathlib import Path

from components.base.errors import UserError

NAMES = ("POSTGRES_PASSWORD", "PREFECT_DB_PASSWORD", "MLFLOW_DB_PASSWORD", "PREFECT_PASSWORD", "MLFLOW_PASSWORD",
         "MLFLOW_SESSION_KEY", "STORE_KEY_ID", "STORE_SECRET_KEY")


def draw(path: Path) -> None:
    """Writes a new file of `NAME=value` lines, 192 bits a value. Raises UserError where there is a file already."""
    lines = "".join(f"{name}={secrets.token_urlsafe(24)}\n" for name in NAMES)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(lines)
    except FileExistsError:
        raise UserError("there are secrets already, and servers may be using them", where=str(path),
                        mend="move the file away first, if new ones are really wanted") from None


if __name__ == "__main__":
    try:
        draw(Path(sys.argv[1]))
    except (UserError, IndexError, OSError) as error:
        sys.exit(f"error: {error}" if isinstance(error, UserError | OSError) else __doc__)
