"""Reads infra/compose as Docker Compose would: anchors and merges resolved, variables filled in or missed aloud."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[1] / "infra" / "compose" / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, Any]:
    """The services of the file. Raises LookupError with the file's own word where a demanded variable is missing."""
    return _filled(yaml.safe_load(FILE.read_text()), variables)["services"]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, variables) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, variables) for v in value]
    return _VARIABLE.sub(lambda m: _value(m, variables), value) if isinstance(value, str) else value


def _value(match: re.Match, variables: Mapping[str, str]) -> str:
    name, kind, word = match.groups()
    if variables.get(name):
        return variables[name]
    if kind == "?":
        raise LookupError(f"{name} {word}")
    return word or ""
