"""What can be said against a statement without looking at the picture: plain rules on its words."""

from collections.abc import Collection

from components.base import english

WORDS = (3, 60)  # of a sentence
ASCII, ENGLISH = 0.9, 0.1  # least shares of ASCII letters and of function words in English text


def against(positive: str, negative: str, phrases: Collection[str], label: str, forbidden: Collection[str]) -> str:
    """The first objection, in words, or "".

    `positive` and `negative` are sentences, `phrases` whatever else will be learnt from; `label` is the true name of
    the sample ("" if none), `forbidden` are names that training may know nothing of (unseen verbs).
    """
    for text in (positive, negative, *phrases):
        for name in forbidden:
            if english.names(text, name):
                return f"names '{name}', which training may not know"
    for what, text in (("what is true", positive), ("what is false", negative)):
        said = english.words(text)
        if not WORDS[0] <= len(said) <= WORDS[1]:
            return f"{what} has {len(said)} words, not {WORDS[0]} to {WORDS[1]}"
        if english.refuses(text):
            return f"{what} is a refusal"
        if english.ascii_share(text) < ASCII or english.share(said) < ENGLISH:
            return f"{what} is not English"
    if english.words(positive) == english.words(negative):
        return "the true and the false sentence are the same"
    if label and english.repeats(positive, label):
        return "merely repeats the label"
    return ""
