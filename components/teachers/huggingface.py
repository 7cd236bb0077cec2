"""The transformers teacher: any image-text-to-text checkpoint, run here, batched, on whatever device there is."""

import copy
import math
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from components.base.artifacts import digest
from components.base.errors import UserError
from components.encoders.checkpoint import find
from components.encoders.image import GRID
from components.teachers import checkpoint
from components.teachers.pictures import within
from components.teachers.protocol import Answer, Identity, Question, Teacher, View
from components.teachers.specs import Spec
from components.teachers.untrusted import Unfit, asking, read

SQUARE = 336  # pixels a side of a picture whose grid is wanted: 12 cells of 28 for patches of 14, merged two by two
TILING = ("do_image_splitting", "crop_to_patches", "do_pan_and_scan")  # one picture, one grid: no tiles beside it
CHOICE = "What does the picture show? Answer with one short phrase."
TEXTS = 64  # read together


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question under way: how often it was asked, what it cost so far, and why its last answer was not taken."""

    position: int
    asked: int = 0
    complaint: str = ""
    cost: Answer = Answer("")


class TransformersTeacher(Teacher):
    """See `components.teachers.protocol.Teacher`. D = W = the width of its language model.

    Control tokens in a prompt are broken up, so that no name in a data set can end a turn or stand for a picture.
    Raises UserError where the checkpoint cannot be found or loaded.
    """

    def __init__(self, spec: Spec):
        self.settings = spec.settings
        folder, name, revision = find(spec.where, "transformers:")
        self.model, self.processor = checkpoint.load(folder, self.settings.device, self.settings.dtype)
        self.identity, self.eyes = Identity("transformers", name, revision), revision
        self.decoding: Mapping[str, Any] = {
            **{k: getattr(self.settings, k) for k in ("max_tokens", "temperature", "side", "attempts")},
            **({"seed": self.settings.seed} if self.settings.temperature else {}),
            "dtype": str(self.model.dtype).removeprefix("torch.")}
        self._alone = threading.RLock()  # threads may share a teacher, but some models keep what they are just reading
        tokens = self.processor.tokenizer
        control = {str(t) for t in tokens.added_tokens_decoder.values() if t.special} | {*tokens.all_special_tokens}
        self._control = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)")

    # What it says -----------------------------------------------------------------------------------------------

    def stream(self, images: Sequence[View], questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Batches in order; what did not fit its schema is asked again in a later batch, with the reason.

        Drawn answers (temperature above 0) are made one by one, each from its own seed, so that they do not depend on
        what else is asked.
        """
        waiting = deque(_Turn(i) for i in range(len(questions)))
        size = 1 if self.settings.temperature else self.settings.batch
        while waiting:
            turns = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            said = self._generate([images[t.position] for t in turns],
                                  [asking(questions[t.position].prompt, questions[t.position].schema, t.complaint)
                                   for t in turns])
            for turn, answer in zip(turns, said, strict=True):
                answer = _sum(turn.cost, answer)
                try:
                    yield turn.position, replace(answer, text=read(answer.text, questions[turn.position].schema))
                except Unfit as reason:
                    if turn.asked + 1 < self.settings.attempts:
                        waiting.append(_Turn(turn.position, turn.asked + 1, str(reason), answer))
                    else:
                        times = f"{self.settings.attempts} answers, the last one"
                        yield turn.position, replace(answer, text="", failure=f"{times} {reason}")

    @torch.inference_mode()
    def _generate(self, images: Sequence[View], prompts: Sequence[str]) -> list[Answer]:
        """The raw text of each (image, prompt) pair."""
        began = time.monotonic()
        inputs = self._inputs([self._pictures(v) for v in images], prompts)
        hot = self.settings.temperature > 0
        drawn = {"do_sample": True, "temperature": self.settings.temperature, "top_p": 1.0, "top_k": 0} if hot else {
            "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        tokens = self.processor.tokenizer
        try:
            with self._alone:
                if hot:
                    torch.manual_seed(int(digest([self.settings.seed, images[0].id, prompts[0]])[:15], 16))
                out = self.model.generate(**inputs, **drawn, max_new_tokens=self.settings.max_tokens,
                                          pad_token_id=tokens.pad_token_id)
        except torch.OutOfMemoryError as error:
            raise UserError(f"no memory for {len(prompts)} questions at once", where="--teacher transformers:...?batch",
                            mend="give a smaller batch, or a smaller side") from error
        new = out[:, inputs["input_ids"].shape[1]:]
        seconds = (time.monotonic() - began) / len(prompts)
        lengths = (new != tokens.pad_token_id).sum(1).tolist()
        return [Answer(text, seconds, int(mask.sum()), int(length)) for text, mask, length in
                zip(tokens.batch_decode(new, skip_special_tokens=True), inputs["attention_mask"], lengths, strict=True)]

    def _pictures(self, view: View) -> list[Image.Image]:
        return [within(v.load(), self.settings.side) for v in view.shown]

    def _inputs(self, pictures: Sequence[Sequence[Image.Image]], prompts: Sequence[str]) -> Any:
        """A padded batch of one-question conversations, each about its pictures, on the model's device."""
        texts = [self._control.sub(lambda token: f"{token[0][0]} {token[0][1:]}", p) for p in prompts]
        told = [[{"role": "user", "content": [*({"type": "image", "image": picture} for picture in some),
                                              {"type": "text", "text": text}]}]
                for some, text in zip(pictures, texts, strict=True)]
        inputs = self.processor.apply_chat_template(told, add_generation_prompt=True, tokenize=True, return_dict=True,
                                                    return_tensors="pt", processor_kwargs={"padding": True})
        return inputs.to(self.model.device, dtype=self.model.dtype)

    # What it sees and reads -------------------------------------------------------------------------------------

    @torch.inference_mode()
    def grid(self, images: Sequence[View]) -> np.ndarray:
        """The vision tower's features as the language model gets them, resampled to the grid; row 0 is their mean."""
        rows = []
        for start in range(0, len(images), self.settings.batch):
            squares = [Image.fromarray(v.load()).resize((SQUARE, SQUARE), Image.Resampling.BICUBIC)
                       for v in images[start:start + self.settings.batch]]
            rows += [_resampled(cells, shape) for cells, shape in self._cells(squares)]
        return torch.stack(rows).cpu().numpy()

    def _cells(self, squares: Sequence[Image.Image]) -> Iterator[tuple[Tensor, tuple[int, int]]]:
        """Each picture's features [T, D] and how they lie (rows, columns)."""
        processor = self.processor.image_processor
        whole = {name: False for name in TILING if hasattr(processor, name)}
        inputs = processor(images=[[s] for s in squares], return_tensors="pt", **whole)
        inputs = inputs.to(self.model.device, dtype=self.model.dtype)
        taken = signature(self.model.get_image_features).parameters
        with self._alone:
            features = self.model.get_image_features(**{k: v for k, v in inputs.items() if k in taken}).pooler_output
        thw = inputs.get("image_grid_thw")
        for i, cells in enumerate(features):
            cells = cells.flatten(0, -2)
            if thw is not None:
                rows, columns = (int(n) // processor.merge_size for n in thw[i, 1:])
            else:
                rows = columns = math.isqrt(len(cells))
            if len(cells) - rows * columns not in (0, 1):
                raise UserError("does not see a picture on one square grid", where=f"transformers:{self.identity.name}",
                                mend="use it for answers, and another teacher for features")
            yield cells[len(cells) - rows * columns:].float(), (rows, columns)  # a class token comes before the cells

    @torch.inference_mode()
    def words(self, texts: Sequence[str]) -> np.ndarray:
        """The mean over a text's last hidden states in the language model, unit length; nothing is shown beside it."""
        out = []
        for start in range(0, len(texts), TEXTS):
            batch = self.processor.tokenizer(list(texts[start:start + TEXTS]), padding=True, return_tensors="pt",
                                             padding_side="right").to(self.model.device)
            batch = {k: batch[k] for k in ("input_ids", "attention_mask")}
            with self._alone:
                states = self.model.base_model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None]
            out.append(F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(out).cpu().numpy()

    @torch.inference_mode()
    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """Softmax over the mean log-probability of each candidate's tokens as the answer to one fixed question.

        The picture and the question are read once an image; every candidate continues from there.
        """
        rows = []
        for view in images:
            inputs = self._inputs([self._pictures(view)], [CHOICE])
            with self._alone:
                read_so_far = self.model(**inputs, use_cache=True, logits_to_keep=1)
                parts = [self._likelihoods(read_so_far, candidates[start:start + self.settings.batch])
                         for start in range(0, len(candidates), self.settings.batch)]
            rows.append(torch.softmax(torch.cat(parts), 0))
        return torch.stack(rows).cpu().numpy()

    def _likelihoods(self, before: Any, candidates: Sequence[str]) -> Tensor:
        """Mean log-probability float32 [C] of the candidates' tokens after what was read.

        No mask is needed: nothing before is padding, and padding after a candidate is seen by nothing of it.
        """
        batch = self.processor.tokenizer([f" {c}" for c in candidates], padding=True, padding_side="right",
                                         add_special_tokens=False, return_tensors="pt").to(self.model.device)
        tokens, mask = batch["input_ids"], batch["attention_mask"]
        cache = copy.deepcopy(before.past_key_values)
        cache.batch_repeat_interleave(len(candidates))
        after = self.model(input_ids=tokens, past_key_values=cache, use_cache=True)
        logits = torch.cat([before.logits[:, -1:].expand(len(candidates), -1, -1), after.logits[:, :-1]], 1).float()
        each = F.log_softmax(logits, -1).gather(-1, tokens[..., None])[..., 0]  # [C, L]
        return (each * mask).sum(1) / mask.sum(1)


def _resampled(cells: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cells [rows * columns, D] on the grid that recipes lay boxes on, the mean of all before them.  # [1 + T, D]"""
    laid = cells.T.reshape(1, -1, *shape)
    grid = F.interpolate(laid, (GRID, GRID), mode="bilinear", antialias=True, align_corners=False)
    return torch.cat([cells.mean(0, keepdim=True), grid.flatten(2)[0].T])


def _sum(before: Answer, answer: Answer) -> Answer:
    return Answer(answer.text, before.seconds + answer.seconds, before.tokens_in + answer.tokens_in,
                  before.tokens_out + answer.tokens_out)
