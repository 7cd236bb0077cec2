"""How names are spelt: what two spellings of one name have in common, and when two words are a slip apart."""

import re
import unicodedata

_ASIDE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_POSSESSIVE = re.compile(r"['\u2019\u02bc`]\s?s\b|s['\u2019\u02bc](?=\s)")
_YEAR = re.compile(r"(?:19|20)\d\d")
_EMPTY_WORDS = frozenset(("a", "an", "and", "of", "or", "s", "the"))  # "s": what title-casing leaves of a possessive
_VOWELS = frozenset("aeiouy")


def normalise(name: str) -> str:
    """The published rule by which names are compared in metrics: lower case, all else than a-z0-9 is one space.

    A name without any such character (another script) stands for itself, in lower case.
    """
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower())
    return plain if plain.strip() else name.lower().strip()


def words(name: str) -> tuple[str, ...]:
    """The words of a name that tell it from others: no case, accents, punctuation, possessives, plurals, articles."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = _POSSESSIVE.sub(" ", plain.casefold())
    found = [_singular(w) for w in re.findall(r"[^\W_]+", plain)]
    return tuple(w for w in found if w not in _EMPTY_WORDS) or tuple(found)


def key(of: tuple[str, ...]) -> str:
    """What all spellings of a name share: its words run together, each doubled letter written once."""
    return re.sub(r"([^\W\d])\1", r"\1", "".join(of))


def aside(name: str) -> tuple[str, str] | None:
    """A name with something in brackets as (the name without it, what the brackets hold)."""
    found = _ASIDE.search(name)
    if not found or not words(found[1]):
        return None
    rest = f"{name[:found.start()]} {name[found.end():]}"
    return (rest, found[1]) if words(rest) else None


def years(of: tuple[str, ...]) -> tuple[tuple[str, ...], float | None]:
    """The words without years (1900 to 2099), and the middle of the years they name (None for none)."""
    dated = [int(w) for w in of if _YEAR.fullmatch(w)]
    rest = tuple(w for w in of if not _YEAR.fullmatch(w))
    return (rest, (min(dated) + max(dated)) / 2) if dated and rest else (of, None)


def shortened(word: str) -> set[str]:
    """The word and what is left of it without one letter: words that share none of these are no slip apart."""
    return {word, *(word[:i] + word[i + 1:] for i in range(len(word)))}


def one_slip(a: str, b: str) -> bool:
    """Whether two different words are one slip of the pen apart: a letter added, lost, changed, swapped with the next.

    Words with digits never are, as X5 is not X6; short words (under five letters) only where a vowel is changed; nor
    words with different first letters, which are rarely mistaken.
    """
    if a == b or a[:1] != b[:1] or not (a.isalpha() and b.isalpha()):
        return False
    if min(len(a), len(b)) < 5:
        changed = [pair for pair in zip(a, b, strict=False) if pair[0] != pair[1]]
        return len(a) == len(b) == 4 and len(changed) == 1 and _VOWELS.issuperset(changed[0])
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = rest_a[:2] == rest_b[:2][::-1] and rest_a[2:] == rest_b[2:]
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is", "os", "as")):
        return word
    return f"{word[:-3]}y" if word.endswith("ies") and len(word) > 4 else word[:-1]
