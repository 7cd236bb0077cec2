"""English as far as checks need it: words, function words, refusals, and whether a text merely repeats a name."""

import math
import re
from collections.abc import Sequence

# The commonest English function words. They make up some 40 % of running English text and are nearly absent from other
# languages, which makes their share a sound test of language on short texts (Dunning 1994 uses letter n-grams instead).
_FUNCTION_WORDS = (
    "a about above across after against all along an and any are around as at away be because been before behind being "
    "below beneath beside between both but by can could do does down each for from front further had has have he her "
    "here him his how i if in inside into is it its itself like more most near next no none nor not of off on one only "
    "onto or other out outside over rather same she should since so some somebody someone something such than that the "
    "their them then there these they this those through to together toward towards under up upon was were what when "
    "where which while who whose will with within without would you")
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
REFUSAL = re.compile(
    r"\b(as an? (ai|language model)"
    r"|i('m| am) (sorry|unable|not able)|i can('t|not)\b|sorry,|unfortunately,? i\b"
    r"|unable to (see|view|determine|identify|describe|answer|help)"
    r"|(no|without an?) image (was|is|has been)? ?(provided|given|attached)"
    r"|cannot (assist|help|comply))", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return [w.lower() for w in WORD.findall(text)]


def share(of: Sequence[str]) -> float:
    """The share of function words among words, 0..1; NaN where there are none."""
    return sum(w in FUNCTION_WORDS for w in of) / len(of) if of else math.nan


def ascii_share(text: str) -> float:
    """The share of ASCII among the letters of a text, 0..1; NaN where there are none."""
    letters = [c for c in text if c.isalpha()]
    return sum(c.isascii() for c in letters) / len(letters) if letters else math.nan


def repeats(text: str, name: str) -> bool:
    """Whether a text has words, and none beyond function words and those of `name`."""
    said = set(words(text))
    return bool(said) and said - FUNCTION_WORDS <= set(words(name))


def refuses(text: str) -> bool:
    """Whether a text reads as a refusal to answer."""
    return bool(REFUSAL.search(text))


def names(text: str, phrase: str) -> bool:
    """Whether the words of `phrase` occur in a text, side by side."""
    said, wanted = words(text), words(phrase)
    return bool(wanted) and any(said[i:i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
