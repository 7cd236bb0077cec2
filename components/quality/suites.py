"""The quality suites: what must hold of datasets, what teachers said and predictions; how to mend what does not.

An error stops the pipeline and blocks promotion; a warning is shown. `mostly` is the share of rows that must satisfy
a check. The tables and their columns are those of `components.quality.frames`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from great_expectations import expectations as gxe

from components.base.errors import UserError, nearest
from components.quality.frames import BOX, COLUMNS, RANKED

SIDE = (32, 20_000)  # pixels of a side of an image
BRIGHTNESS = (0.04, 0.96)  # mean grey level, 0..1; beyond: black or blown out
CONTRAST = 0.02  # standard deviation of grey levels, 0..1; below: a blank image
COVERAGE = 5  # images of a verb, below which its scores say little
AGREEMENT = 0.2  # share of annotator pairs with the same noun; three strangers with 80 nouns agree on .01
WORDS = (3, 120)  # words of a rationale
CHARACTERS = 800
SHORT = 12  # words of a short answer, such as a name
REFUSALS = 0.05  # share of rationales that may be refusals (and go to waste)


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation on one table, with the words a reader needs: its name and what to do where it fails."""

    name: str
    severity: Literal["error", "warning"]
    mend: str
    expectation: gxe.Expectation


def suite(name: str) -> dict[str, list[Check]]:
    """The checks of a suite by table, the schema check first; raises UserError for an unknown suite."""
    if name not in _SUITES:
        raise UserError(f"no quality suite '{name}'", mend=nearest(name, _SUITES) or f"known: {', '.join(_SUITES)}")
    return {table: [*_shape(name, table), *checks] for table, checks in _SUITES[name]().items()}


def _check(severity: Literal["error", "warning"], name: str, mend: str, kind: type[gxe.Expectation],
           **arguments: Any) -> Check:
    level = "critical" if severity == "error" else "warning"
    return Check(name, severity, mend, kind(severity=level, meta={"check": name}, **arguments))


def _error(name: str, mend: str, kind: type[gxe.Expectation], **arguments: Any) -> Check:
    return _check("error", name, mend, kind, **arguments)


def _warning(name: str, mend: str, kind: type[gxe.Expectation], **arguments: Any) -> Check:
    return _check("warning", name, mend, kind, **arguments)


def _shape(name: str, table: str) -> list[Check]:
    checks = [_error(f"{table}: columns", "rebuild the table with components.quality.frames",
                     gxe.ExpectTableColumnsToMatchSet, column_set=list(COLUMNS[name][table]), exact_match=True)]
    if table not in ("roles", "verbs"):  # a dataset without annotations has neither, and is judged by its images
        checks.append(_error(f"{table}: not empty", "point the run at a folder that holds something",
                             gxe.ExpectTableRowCountToBeBetween, min_value=1))
    return checks


def _boxes(owner: str) -> list[Check]:
    """Checks of the columns x1, y1, x2, y2 against width and height; rows without a box are passed over."""
    inside = f"clip the {owner} boxes to the image, and check that they are [x1, y1, x2, y2] in pixels of this image"
    return [
        _error("box is well formed", "a box is four finite numbers, or [-1, -1, -1, -1] (predictions: null) for none",
               gxe.ExpectColumnValuesToNotBeInSet, column="box", value_set=["malformed"]),
        *(_error(f"box inside image ({side})", inside, gxe.ExpectColumnValuesToBeBetween, column=side, min_value=0)
          for side in BOX[:2]),
        *(_error(f"box inside image ({side})", inside, gxe.ExpectColumnPairValuesAToBeGreaterThanB, column_A=edge,
                 column_B=side, or_equal=True, ignore_row_if="either_value_is_missing")
          for edge, side in (("width", "x2"), ("height", "y2"))),
        *(_error(f"box has area ({b} > {a})", f"swap the corners of the {owner} box, or mark the role as not grounded",
                 gxe.ExpectColumnPairValuesAToBeGreaterThanB, column_A=b, column_B=a,
                 ignore_row_if="either_value_is_missing")
          for a, b in (("x1", "x2"), ("y1", "y2"))),
    ]


def _roles_match(what: str) -> list[Check]:
    return [
        _error("role allowed by the verb's frame", f"remove the role from the {what}, or correct its verb",
               gxe.ExpectColumnValuesToNotBeInSet, column="status", value_set=["unknown"]),
        _error("every role of the frame filled", f'give the role a noun in the {what} ("" for an empty one)',
               gxe.ExpectColumnValuesToNotBeInSet, column="status", value_set=["missing"]),
    ]


def _dataset() -> dict[str, list[Check]]:
    low, high = SIDE
    images = [
        *(_error(f"{column} present", "ingest the folder again", gxe.ExpectColumnValuesToNotBeNull, column=column)
          for column in ("sample", "id", "width", "height")),
        *(_error(f"{what} unique", "remove the duplicate", gxe.ExpectColumnValuesToBeUnique, column=column)
          for column, what in (("id", "image"), ("sample", "image name"))),
        *(_error(f"{side} in range", f"sides must have {low} to {high} pixels: resize or remove the image",
                 gxe.ExpectColumnValuesToBeBetween, column=side, min_value=low, max_value=high)
          for side in ("width", "height")),
        *(_error(f"annotated {side} is the image's", "annotate the image as it is stored, or rescale its boxes",
                 gxe.ExpectColumnPairValuesToBeEqual, column_A=f"annotated_{side}", column_B=side,
                 ignore_row_if="either_value_is_missing")
          for side in ("width", "height")),
        _error("image decodes", "replace or remove the broken image", gxe.ExpectColumnValuesToNotBeNull,
               column="brightness"),
        _error("verb known", "add the verb with its roles to the lexicon, or correct the annotation",
               gxe.ExpectColumnValuesToBeInSet, column="known", value_set=[True]),
        _error("annotator frames present", "give the image at least one frame of nouns",
               gxe.ExpectColumnValuesToBeBetween, column="annotators", min_value=1),
        _warning("image labelled", "add the image to the annotation file; unlabelled images train nothing",
                 gxe.ExpectColumnValuesToNotBeNull, column="verb"),
        _warning("brightness in range", "look at the named images: nearly black or white", mostly=0.99,
                 kind=gxe.ExpectColumnValuesToBeBetween, column="brightness", min_value=BRIGHTNESS[0],
                 max_value=BRIGHTNESS[1]),
        _warning("contrast in range", "look at the named images: nearly blank", mostly=0.99,
                 kind=gxe.ExpectColumnValuesToBeBetween, column="contrast", min_value=CONTRAST),
        _warning("annotators agree", "have the named images annotated again", mostly=0.9,
                 kind=gxe.ExpectColumnValuesToBeBetween, column="agreement", min_value=AGREEMENT),
    ]
    roles = [
        *_roles_match("annotation"),
        *_boxes("annotated"),
        _warning("noun known", "add the synset to the lexicon; until then it counts as out of vocabulary",
                 gxe.ExpectColumnValuesToBeInSet, column="unknown_noun", value_set=[""]),
    ]
    verbs = [
        _error("verb has an image", "add images of the verb, or remove it from the splits",
               gxe.ExpectColumnValuesToBeBetween, column="needed_images", min_value=1),
        _error("seen verb has a training image", "split again, or move the verb to the unseen ones",
               gxe.ExpectColumnValuesToBeBetween, column="train_images", min_value=1),
        _warning(f"verb has {COVERAGE} images", "add images of the verb: its scores are mostly chance",
                 gxe.ExpectColumnValuesToBeBetween, column="images", min_value=COVERAGE),
    ]
    return {"images": images, "roles": roles, "verbs": verbs}


def _rationales() -> dict[str, list[Check]]:
    low, high = WORDS
    texts = ("positive", "negative")
    return {"rationales": [
        _error("one rationale per question", "remove the repeated row", gxe.ExpectColumnValuesToBeUnique, column="row"),
        _error("sample present", "give every rationale the sample it is about", gxe.ExpectColumnValuesToNotBeNull,
               column="sample"),
        _error("kind known", "a rationale is a glimpse (scene) or a gaze (role)", gxe.ExpectColumnValuesToBeInSet,
               column="kind", value_set=["glimpse", "gaze"]),
        *(_error(f"{text} not empty", "ask the teacher again for the named samples",
                 gxe.ExpectColumnValueLengthsToBeBetween, column=text, min_value=1) for text in texts),
        *(_error(f"{text} of {low} to {high} words", "mend the prompt or the limit of tokens, and ask again",
                 gxe.ExpectColumnValuesToBeBetween, column=f"{text}_words", min_value=low, max_value=high)
          for text in texts),
        *(_error(f"{text} of at most {CHARACTERS} characters", "mend the prompt or the limit of tokens, and ask again",
                 gxe.ExpectColumnValueLengthsToBeBetween, column=text, max_value=CHARACTERS) for text in texts),
        _error("positive differs from negative", "a pair that says the same teaches nothing: ask again",
               gxe.ExpectColumnValuesToBeInSet, column="differs", value_set=[True]),
        _error("more than the label", "the text only repeats the label: ask for what is to be seen",
               gxe.ExpectColumnValuesToBeInSet, column="repeats_label", value_set=[False]),
        _error("Latin letters", "the text encoder reads English: ask the teacher in English", mostly=0.95,
               kind=gxe.ExpectColumnValuesToBeBetween, column="ascii", min_value=0.9),
        _error("English", "the text encoder reads English sentences: ask the teacher for those", mostly=0.9,
               kind=gxe.ExpectColumnValuesToBeBetween, column="function_words", min_value=0.1),
        _error(f"refusals below {REFUSALS:.0%}", "the teacher declines: mend the prompt, or take another teacher",
               mostly=1 - REFUSALS, kind=gxe.ExpectColumnValuesToBeInSet, column="refusal", value_set=[False]),
    ]}


def _short() -> dict[str, list[Check]]:
    again = "ask the teacher again for the named samples"
    return {"rationales": [
        _error("one answer per question", "remove the repeated row", gxe.ExpectColumnValuesToBeUnique, column="row"),
        _error("sample present", "give every answer the sample it is about", gxe.ExpectColumnValuesToNotBeNull,
               column="sample"),
        _error(f"one to {SHORT} words", again, gxe.ExpectColumnValuesToBeBetween, column="words", min_value=1,
               max_value=SHORT),
        _error("Latin letters", "the text encoder reads English: ask the teacher in English", mostly=0.95,
               kind=gxe.ExpectColumnValuesToBeBetween, column="ascii", min_value=0.9),
        _error(f"refusals below {REFUSALS:.0%}", "the teacher declines: mend the prompt, or take another teacher",
               mostly=1 - REFUSALS, kind=gxe.ExpectColumnValuesToBeInSet, column="refusal", value_set=[False]),
    ]}


def _predictions() -> dict[str, list[Check]]:
    wrong = "the student or its decoding is at fault: inspect the named image"
    images = [
        _error("image predicted once", "remove the repeated prediction", gxe.ExpectColumnValuesToBeUnique,
               column="sample"),
        _error("a verb is ranked", wrong, gxe.ExpectColumnValuesToBeBetween, column="verbs", min_value=1),
        _error("ranked verbs distinct", wrong, gxe.ExpectColumnValuesToBeInSet, column="distinct", value_set=[True]),
        _error(f"first {RANKED} verbs framed", wrong, gxe.ExpectColumnValuesToBeInSet, column="unframed",
               value_set=[""]),
    ]
    ranks = [
        _error("verb known", "the bundle and the lexicon differ: export the student again",
               gxe.ExpectColumnValuesToBeInSet, column="known", value_set=[True]),
        _error("score is a number", wrong, gxe.ExpectColumnValuesToNotBeNull, column="score"),
        _error("score in 0..1", wrong, gxe.ExpectColumnValuesToBeBetween, column="score", min_value=0, max_value=1),
        _error("scores descend", wrong, gxe.ExpectColumnValuesToBeBetween, column="drop", min_value=-1e-6),
    ]
    roles = [
        *_roles_match("prediction"),
        _error("noun score is a number", wrong, gxe.ExpectColumnValuesToNotBeNull, column="score"),
        _error("noun score in 0..1", wrong, gxe.ExpectColumnValuesToBeBetween, column="score", min_value=0,
               max_value=1),
        *_boxes("predicted"),
    ]
    return {"images": images, "ranks": ranks, "roles": roles}


_SUITES = {"dataset": _dataset, "rationales": _rationales, "short": _short, "predictions": _predictions}
