"""Reads JSON and JSON Lines files that users give: every fault is one error that names the file and the line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from components.base.errors import UserError


def read_json(file: Path) -> Any:
    """The content of a JSON file; raises UserError naming the line where it breaks."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error
    try:
        return _parsed(content, str(file), "")
    except UserError:
        try:
            return json.loads(content)  # which takes NaN for a number: whoever checks the field can say where it is
        except (ValueError, RecursionError):
            pass
        raise


def read_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of each line of a JSON Lines file, read as they are asked for; empty lines are none.

    Raises UserError for a file that cannot be read and for the first line that is not JSON.
    """
    try:
        with open(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.isspace():
                    yield number, _parsed(line, f"{file} line {number}", "write one JSON value a line; ")
    except OSError as error:
        raise _unreadable(file, error) from error


def _parsed(content: bytes, where: str, mend: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "UTF-8" in error.msg:
            raise UserError("not JSON text in UTF-8", where=where, mend="save it as UTF-8, without a mark") from error
        place = f"column {error.colno}" if mend else f"line {error.lineno}"
        raise UserError(f"not JSON: {error.msg} in {place}", where=where, mend=f"{mend}repair it") from error


def _unreadable(file: Path, error: OSError) -> UserError:
    return UserError(f"cannot be read ({error.strerror})", where=str(file), mend="check the path")
