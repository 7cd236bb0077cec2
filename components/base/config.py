"""Configuration as a value: nested frozen dataclasses, overridden by dotted paths, logged whole."""

import dataclasses
import re
import types
import typing
from typing import Any

import yaml

from components.base.errors import UserError, nearest

EXPONENT = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE)  # 8e-4: a number that YAML takes for text


def override(config: Any, assignment: str) -> Any:
    """A copy of `config` with `a.b=value` applied; the value is read as YAML and must fit the field's type.

    Raises UserError naming the nearest key for an unknown path, or the expected type for a value that does not fit.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise UserError("expected KEY=VALUE", where=f"--set {assignment}", mend="for example --set distil.epochs=4")
    return _replace(config, path.strip().split("."), yaml.safe_load(text), assignment)


def _replace(config: Any, path: list[str], value: Any, assignment: str) -> Any:
    names = {f.name for f in dataclasses.fields(config)}
    key, rest = path[0], path[1:]
    if key not in names:
        hint = nearest(key, names) or f"known here: {', '.join(sorted(names))}"
        raise UserError(f"no setting '{key}'", where=f"--set {assignment}", mend=hint)
    current = getattr(config, key)
    if rest:
        if not dataclasses.is_dataclass(current):
            raise UserError(
                f"'{key}' holds a value, not settings", where=f"--set {assignment}", mend=f"set {key} itself"
            )
        return dataclasses.replace(config, **{key: _replace(current, rest, value, assignment)})
    if dataclasses.is_dataclass(current):
        inner = ", ".join(f.name for f in dataclasses.fields(current))
        raise UserError(f"'{key}' is a group of settings", where=f"--set {assignment}", mend=f"set one of: {inner}")
    kind = typing.get_type_hints(type(config))[key]
    return dataclasses.replace(config, **{key: _fit(value, kind, f"--set {assignment}")})


def _fit(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`, where that loses nothing."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _fit(value, next(a for a in args if a is not type(None)), where)
    if origin is dict:
        if not isinstance(value, dict):
            raise UserError(f"expected names with their values, got {value!r}", where=where, mend="{name: value}")
        return {str(name): _inside(args[1], item, f"{where} {name}") for name, item in value.items()}
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_fit(item, args[0], where) for item in items)
    if origin is typing.Literal:
        if value not in args:
            raise UserError(
                f"must be one of {', '.join(map(str, args))}", where=where, mend=nearest(str(value), map(str, args))
            )
        return value
    if kind is float and (type(value) in (int, float) or EXPONENT.fullmatch(str(value))):
        return float(value)
    if type(value) is not kind:
        raise UserError(f"expected {getattr(kind, '__name__', kind)}, got {value!r}", where=where)
    return value


def _inside(kind: Any, value: Any, where: str) -> Any:
    """A value of a table, which may itself be settings."""
    if not dataclasses.is_dataclass(kind):
        return _fit(value, kind, where)
    if not isinstance(value, dict):
        raise UserError(f"expected settings, got {value!r}", where=where,
                        mend=f"known: {', '.join(f.name for f in dataclasses.fields(kind))}")
    return from_dict(kind, value)


def as_dict(config: Any) -> dict[str, Any]:
    """The whole configuration as plain JSON-able values (tuples become lists)."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_dict(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def from_dict(kind: type, values: dict[str, Any]) -> Any:
    """The inverse of `as_dict` for a dataclass type; raises UserError on an unknown or ill-typed key."""
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        key = sorted(unknown)[0]
        raise UserError(f"no setting '{key}'", where=kind.__name__, mend=nearest(key, hints))
    return kind(
        **{
            k: from_dict(hints[k], v) if dataclasses.is_dataclass(hints[k]) else _fit(v, hints[k], k)
            for k, v in values.items()
        }
    )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"a.b": value}, the form in which MLflow shows parameters."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
