"""Situations as flat arrays, one row a role: annotations once, then predictions one by one, so that memory stays flat.

Legend: N annotated images, K roles of all of them (an image's lie together, in the lexicon's order), A annotators.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.base.errors import UserError, nearest

NOT_GROUNDED = (-1, -1, -1, -1)
ANNOTATORS = 3
UNRANKED = 1 << 30
TOP = 5  # ranks that any number looks at
EMPTY, OOV = 0, 1  # ids of the nouns "" and "oov"
_FOREIGN = {"blank": 'write "" for an empty role', "Pad": "leave out what is no role of the verb"}


@dataclass(frozen=True, slots=True)
class Rows:
    """Predictions beside the truth. `boxed` is False where no annotation has boxes (imSitu)."""

    images: tuple[str, ...]
    verbs: np.ndarray  # [N] str, the true verbs
    rank: np.ndarray  # [N] int, place of the true verb among the first five, UNRANKED where it is not there
    size: np.ndarray  # [K, 2] float, width and height of the role's image; NaN where not boxed
    image: np.ndarray  # [K] int
    role: np.ndarray  # [K] str
    noun: np.ndarray  # [K] int, into `names`
    true_noun: np.ndarray  # [K, A] int, into `names`
    box: np.ndarray  # [K, 4] float pixels, NaN = none
    true_box: np.ndarray  # [K, 4] float pixels, NaN = none
    exists: np.ndarray  # [K] float logit of "has a box"; infinite where the box alone says it
    names: tuple[str, ...]
    boxed: bool


class _Ids(dict):
    """Numbers words as they come."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class Collector:
    """Annotations as arrays, filled by `add`, one call an annotated image in any order, and closed by `rows`.

    `annotations` are SWiG entries by image name, or imSitu entries, which have no "bb", "width" and "height"; `truth`
    and `source` name the files of annotations and predictions in errors. Every mismatch is a UserError.
    """

    def __init__(self, annotations: Mapping[str, Mapping[str, Any]], space: Mapping[str, Any], *, truth: str = "",
                 source: str = ""):
        if not annotations:
            raise UserError("no image to score", where=truth or "annotations")
        self._truth, self._source = truth, source
        self._lexicon = space["verbs"]
        self._foreign = _FOREIGN.keys() - space.get("nouns", {}).keys()
        self._ids = _Ids({"": EMPTY, "oov": OOV})
        self.boxed = "bb" in next(iter(annotations.values()))
        self._row = {name: i for i, name in enumerate(annotations)}
        self._verbs: list[str] = []
        self._first = array("q", [0])  # [N + 1] row of each image's first role
        self._roles: list[str] = []
        self._true_noun, self._true_box, self._size = array("i"), array("d"), array("d")
        for name, entry in annotations.items():
            try:
                self._annotation(name, entry)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(_annotation_fault(entry, self._lexicon, error), where=self._of_truth(name),
                                mend="`foveate data doctor` lists every fault of the file") from None
        total = len(self._roles)
        self._line = array("q", [-1]) * len(self._row)  # of the prediction
        self._rank = array("q", [UNRANKED]) * len(self._row)
        self._noun = array("i", [EMPTY]) * total
        self._box = array("d", [np.nan]) * (4 * total)
        self._exists = array("d", [-np.inf]) * total

    def _annotation(self, name: str, entry: Mapping[str, Any]) -> None:
        verb, frames = entry["verb"], entry["frames"]
        if verb not in self._lexicon:
            raise UserError(f"verb '{verb}' is not in the lexicon", where=self._of_truth(name),
                            mend="use the lexicon of the data")
        if not 1 <= len(frames) <= ANNOTATORS:
            raise UserError(f"{len(frames)} annotator frames", where=self._of_truth(name),
                            mend=f"give 1 to {ANNOTATORS}")
        frames = [*frames, *frames[:1] * (ANNOTATORS - len(frames))]  # repeating a frame changes no outcome
        ids, order = self._ids, self._lexicon[verb]["order"]
        self._verbs.append(verb)
        self._roles.extend(order)
        self._first.append(len(self._roles))
        for role in order:
            self._true_noun.extend([ids[frame[role]] for frame in frames])
        if self.boxed:
            self._size.extend((entry["width"], entry["height"]))
            boxes = entry["bb"]
            for role in order:
                box = boxes[role]
                if len(box) != 4:
                    raise UserError(_box_fault(box, role), where=self._of_truth(name))
                self._true_box.extend(box)
        elif "bb" in entry:
            raise ValueError("has boxes, others before it have none")

    def add(self, prediction: Mapping[str, Any], line: int = 0) -> None:
        """One prediction: "image", "verbs" (ranked) and "frames" with every role of the true verb.

        A role's box is pixels or None for 'not grounded', or is always given together with "exists", a logit.
        """
        try:
            self._add(prediction, line)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._explained(prediction, line, error) from None

    def _add(self, prediction: Mapping[str, Any], line: int) -> None:
        name, ranked, frames = prediction["image"], prediction["verbs"], prediction["frames"]
        row = self._row[name]
        if self._line[row] >= 0:
            before = f", first in line {self._line[row]}" if line else ""
            raise UserError(f"predicted more than once{before}", where=self._at(name, line),
                            mend="count every image once")
        self._line[row] = line
        verb = self._verbs[row]
        self._rank[row] = self._ranked(ranked, verb)
        frame = frames[verb]
        first, last = self._first[row], self._first[row + 1]
        if len(frame) != last - first:
            raise KeyError
        ids = self._ids
        for k in range(first, last):
            guess = frame[self._roles[k]]
            noun, box = guess["noun"], guess["box"]
            if noun.__class__ is not str or noun in self._foreign:
                raise ValueError
            self._noun[k] = ids[noun]
            if box is not None:
                x1, y1, x2, y2 = box
                self._box[4 * k], self._box[4 * k + 1], self._box[4 * k + 2], self._box[4 * k + 3] = x1, y1, x2, y2
                self._exists[k] = guess.get("exists", np.inf)

    def _ranked(self, ranked: Any, verb: str) -> int:
        best = ranked[:TOP]
        if best.__class__ is not list or len(set(best)) < len(best):
            raise ValueError
        for other in best:
            if other not in self._lexicon:
                raise KeyError
        return best.index(verb) if verb in best else UNRANKED

    def rows(self) -> Rows:
        """The arrays; raises UserError for annotated images without prediction, and for boxes that are none."""
        line = np.array(self._line)
        images = tuple(self._row)
        if (line < 0).any():
            missing = min(images[i] for i in np.flatnonzero(line < 0))
            raise UserError(f"{missing}: has no prediction ({(line < 0).sum()} such images)" if self._source else
                            f"has no prediction ({(line < 0).sum()} such images)", where=self._source or missing,
                            mend="predict every image")
        count = np.diff(np.array(self._first))
        image = np.repeat(np.arange(len(images)), count)
        total = len(self._roles)
        true_box = np.full((total, 4), np.nan)
        if self.boxed:
            true_box = np.array(self._true_box).reshape(-1, 4)
            none = (true_box == NOT_GROUNDED).all(1)
            self._check(true_box, none, image, lambda i: self._of_truth(images[i]))
            true_box[none] = np.nan
        box, exists = np.array(self._box).reshape(-1, 4), np.array(self._exists)
        self._check(box, exists == -np.inf, image, lambda i: self._at(images[i], line[i]))
        if np.isnan(exists).any():
            i = image[np.isnan(exists).argmax()]
            raise UserError("existence logit is not a number", where=self._at(images[i], line[i]))
        size = np.array(self._size).reshape(-1, 2)[image] if self.boxed else np.full((total, 2), np.nan)
        return Rows(images, np.array(self._verbs), np.array(self._rank), size, image, np.array(self._roles),
                    np.array(self._noun), np.array(self._true_noun).reshape(-1, ANNOTATORS), box, true_box, exists,
                    tuple(self._ids), self.boxed)

    def _check(self, boxes: np.ndarray, none: np.ndarray, image: np.ndarray, where: Any) -> None:
        """Boxes [K, 4] that are not `none` are finite, with the first corner not beyond the second."""
        bad = ~none & ~(np.isfinite(boxes).all(1) & (boxes[:, :2] <= boxes[:, 2:]).all(1))
        if bad.any():
            k = int(bad.argmax())
            raise UserError(_box_fault(boxes[k].tolist(), self._roles[k]), where=where(image[k]))

    def _of_truth(self, name: str) -> str:
        return f"{self._truth}: {name}" if self._truth else name

    def _at(self, name: str, line: int) -> str:
        return f"{self._source} line {line}: {name}" if line else name

    def _explained(self, prediction: Any, line: int, error: Exception) -> UserError:
        """What is wrong with a prediction that could not be added, found the slow way."""
        name = prediction.get("image") if isinstance(prediction, dict) else None
        what, mend = self._fault(prediction)
        return UserError(what or f"cannot be read ({error!r})", mend=mend,
                         where=self._at(name, line) if isinstance(name, str) else f"{self._source} line {line}".strip())

    def _fault(self, prediction: Any) -> tuple[str, str]:
        """(what, mend) of the first fault; ("", "") where none is found."""
        shape = 'a prediction is {"image", "verbs": [ranked], "frames": {verb: {role: {"noun", "box"}}}}'
        if not isinstance(prediction, dict):
            return "a prediction must be an object", shape
        for key, kind, word in (("image", str, "text"), ("verbs", list, "a list of verbs, best first"),
                                ("frames", dict, "an object of frames by verb")):
            if key not in prediction:
                return f"prediction without '{key}'", shape
            if not isinstance(prediction[key], kind):
                return f"'{key}' must be {word}, got {prediction[key]!r:.60}", shape
        if prediction["image"] not in self._row:
            return "has no annotation", nearest(prediction["image"], self._row) or "score annotated images only"
        for verb in prediction["verbs"][:TOP]:
            if not isinstance(verb, str) or verb not in self._lexicon:
                return (f"verbs: '{verb}' is not in the lexicon", nearest(str(verb), self._lexicon)
                        or "add the verb to the space, or leave it out of the ranking")
            if prediction["verbs"][:TOP].count(verb) > 1:
                return f"verbs: '{verb}' is ranked twice", "rank every verb once"
        return self._frame_fault(prediction["frames"], self._verbs[self._row[prediction["image"]]])

    def _frame_fault(self, frames: dict[str, Any], verb: str) -> tuple[str, str]:
        if verb not in frames:
            return f"no frame for the true verb '{verb}'", "decode the true verb as well"
        frame, order = frames[verb], self._lexicon[verb]["order"]
        if not isinstance(frame, dict):
            return f"frames.{verb} must be an object with one answer a role, got {frame!r:.60}", ""
        for role in frame:
            if role not in order:
                return f"verb '{verb}' has no role '{role}'", nearest(role, order) or f"its roles: {', '.join(order)}"
        for role in order:
            if role not in frame:
                return (f"role '{role}' of verb '{verb}' is missing",
                        'answer every role: {"noun": "", "box": null} for an empty one')
            guess = frame[role]
            if not isinstance(guess, dict):
                return f"frames.{verb}.{role} must be an object, got {guess!r:.60}", ""
            for key in ("noun", "box"):
                if key not in guess:
                    return f"field '{key}' of role '{role}' of verb '{verb}' is missing", ""
            if not isinstance(guess["noun"], str):
                return f"frames.{verb}.{role}.noun must be text, got {guess['noun']!r:.60}", '"" for an empty role'
            if guess["noun"] in self._foreign:
                return f"frames.{verb}.{role}.noun is '{guess['noun']}'", _FOREIGN[guess["noun"]]
            if not isinstance(guess.get("exists", 0.0), int | float):
                return f"frames.{verb}.{role}.exists must be a logit, got {guess['exists']!r:.60}", ""
            box = guess["box"]
            if box is not None and not (isinstance(box, list | tuple) and len(box) == 4
                                        and all(isinstance(v, int | float) for v in box)):
                return _box_fault(box, role), "null for a role without a box"
        return "", ""


def _box_fault(box: Any, role: str) -> str:
    return f"box {box!r:.80} of role '{role}' is not [x1, y1, x2, y2] with x1 <= x2, y1 <= y2"


def _annotation_fault(entry: Any, lexicon: Mapping[str, Any], error: Exception) -> str:
    """What is missing from an annotation that could not be read."""
    if not isinstance(entry, Mapping):
        return "the annotation must be an object"
    if isinstance(error, KeyError) and entry.get("verb") in lexicon:
        return f"role or field {error} of verb '{entry['verb']}' is missing"
    return f"field {error} is missing" if isinstance(error, KeyError) else f"cannot be read ({error})"
