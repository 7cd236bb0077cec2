"""Empty databases of Prefect and MLflow, laid out once per environment and copied: Prefect's takes ten seconds.

They hold tables and nothing else, no key and no name, so that any state folder may start from them.
"""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from components.base.home import environment


def template(name: str) -> Path:
    """Where this environment keeps the empty database of "prefect" or "mlflow", each of the installed version."""
    return environment() / f"{name}-{version(name)}.db"


def lay_out(name: str, folder: Path) -> None:
    """Gives a folder without the database an empty one; where there is no template, the library lays it out itself."""
    database = folder / f"{name}.db"
    if not database.exists() and template(name).exists():
        part = Path(shutil.copyfile(template(name), folder / f".{name}.{os.getpid()}.part"))
        with suppress(FileExistsError):  # another process was first
            os.link(part, database)
        part.unlink()


def _prefect(database: Path) -> None:
    os.environ |= {"PREFECT_HOME": str(database.parent), "PREFECT_LOGGING_LEVEL": "WARNING"}
    import asyncio

    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())


def _mlflow(database: Path) -> None:
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
    from components.registry.tracking import lay_out_tables

    lay_out_tables(database)


LAYOUTS = {"prefect": _prefect, "mlflow": _mlflow}


def main(names: list[str]) -> None:
    """Keeps an empty database of each for this environment, unless that was done before."""
    for name in names or LAYOUTS:
        if not template(name).exists():
            template(name).parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=template(name).parent) as folder:
                LAYOUTS[name](Path(folder) / f"{name}.db")
                (Path(folder) / f"{name}.db").replace(template(name))


if __name__ == "__main__":
    main(sys.argv[1:])
