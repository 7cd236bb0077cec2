"""An empty Prefect database, laid out once per environment and copied: its hundred migrations take ten seconds."""

import os
import shutil
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from components.base.home import environment


def template() -> Path:
    """Where this environment keeps the empty database of its Prefect version; `python -m flows.prefect_database`
    makes it. It holds a layout and nothing else, no key and no name, so that any state folder may start from it.
    """
    return environment() / f"prefect-{version('prefect')}.db"


def lay_out(folder: Path) -> None:
    """Gives a state folder without a Prefect database an empty one; where there is no template, the server migrates."""
    database = folder / "prefect.db"
    if not database.exists() and template().exists():
        part = Path(shutil.copyfile(template(), folder / f".prefect.{os.getpid()}.part"))
        with suppress(FileExistsError):  # another process was first
            os.link(part, database)
        part.unlink()


def main() -> None:
    """Migrates an empty database and keeps it for this environment, unless that was done before."""
    if template().exists():
        return
    template().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=template().parent) as folder:
        os.environ |= {"PREFECT_HOME": folder, "PREFECT_LOGGING_LEVEL": "WARNING"}
        import asyncio

        from prefect.server.database import provide_database_interface

        asyncio.run(provide_database_interface().create_db())
        (Path(folder) / "prefect.db").replace(template())


if __name__ == "__main__":
    main()
