"""The words of pairs: which there are, and how they are said."""

from typing import Any


def words_of(space: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Attributes and objects of a space, each sorted."""
    return tuple(tuple(sorted({pair[column] for pair in space["pairs"].values()})) for column in (0, 1))


def spoken(word: str) -> str:
    """A word of a file as it is said: "Faux.Fur" is "faux fur", "wind_farm" "wind farm"."""
    return " ".join(word.replace("_", " ").replace(".", " ").split()).lower()
