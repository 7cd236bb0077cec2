"""Other people's text made safe to show: in a file, on a terminal, in a message, in Markdown."""

import re

# Controls (a terminal obeys them), lone surrogates (no file can hold them), and what turns or hides text: bidirectional
# marks, line separators, invisible tags. Joiners stay, as scripts and emoji need them.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
                     "\ud800-\udfff\U000e0000-\U000e007f]")


def clean(text: str) -> str:
    """`text` without characters that would act instead of being read; lines and tabs stay."""
    return _HIDDEN.sub("", text)


def line(text: str, most: int = 200) -> str:
    """`text` cleaned, on one line, at most `most` characters."""
    text = " ".join(clean(text).split())
    return text if len(text) <= most else text[:most - 1] + "…"


def prose(text: str) -> str:
    """`text` on one line of Markdown, in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>#|~!])", r"\\\1", line(text, 500))


def code(text: str) -> str:
    """`text` as a Markdown code span, in which nothing is markup."""
    return f"`{line(text).replace('`', chr(39)).replace('|', '¦') or ' '}`"
