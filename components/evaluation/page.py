"""How a written page is made: one self-contained HTML file in the look they share, all text escaped, images inlined."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.base.artifacts import write_bytes
from components.base.errors import UserError

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def write(out: Path, template: str, *, title: str, **values: Any) -> Path:
    """Renders a template of `templates/` into the file `out`, whole or not at all; returns `out`.

    Text may be anybody's: it is escaped, and the page may run no script and fetch nothing. Raises UserError for a
    picture that is missing or of a kind that browsers do not show.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "inline": inline, "cell": cell}
    write_bytes(out, environment.get_template(template).render(title=title, **values).encode())
    return out


def percent(fraction: float | None) -> str:
    """0.666 as "66.6"; a dash for a number that does not exist."""
    return "–" if fraction is None or fraction != fraction else f"{100 * fraction:.1f}"


def inline(path: Path) -> str:
    """An image file as a data URI."""
    path = Path(path)
    kind = _TYPES.get(path.suffix.lower())
    if kind is None:
        raise UserError("not a picture that a page can hold", where=str(path), mend=f"use {', '.join(_TYPES)}")
    if not path.is_file():
        raise UserError("picture is missing", where=str(path), mend="draw it before the report")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def cell(value: Any, digits: int = 1) -> str:
    """A table cell: floats with `digits` decimals, booleans in words, a dash for nothing."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
