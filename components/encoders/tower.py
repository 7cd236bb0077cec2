"""The reading half of a checkpoint: its tokenizer, and a network from token ids to states and one vector a text.

Two kinds are known. CLIP and SigLIP read to the end of a text and project the state of its last token; a sentence
encoder's vector is the mean over its states, or the first of them where the checkpoint says so.

Shapes: N texts, L tokens, W width of states, E of the vectors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, normalizers
from torch import Tensor, nn

from components.base.errors import UserError
from components.encoders.checkpoint import first_line, model

LONGEST = 128  # tokens that are read of a text, where the network can read that many
CONTRASTIVE = ("clip", "metaclip_2", "siglip", "siglip2")
SUCH = "use a CLIP or SigLIP checkpoint, or a sentence encoder"
MODULES = ("Transformer", "Pooling", "Normalize")  # of a sentence encoder; a text's vector is made unit length anyway
POOLING = {"mean": False, "pooling_mode_mean_tokens": False, "cls": True, "pooling_mode_cls_token": True}


class Sentences(nn.Module):
    """A sentence encoder: the mean over a text's states, or (`first`) the state of its first token."""

    def __init__(self, network: nn.Module, first: bool):
        super().__init__()
        self.network, self.first = network, first
        self.hidden = self.width = network.config.hidden_size  # W, E
        self.typed = "token_type_ids" in signature(network.forward).parameters

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # [N, L] twice -> [N, L, W], [N, W]
        typed = {"token_type_ids": torch.zeros_like(ids)} if self.typed else {}
        states = self.network(input_ids=ids, attention_mask=mask, **typed).last_hidden_state
        if self.first:
            return states, states[:, 0]
        there = mask[..., None].to(states.dtype)
        return states, (states * there).sum(1) / there.sum(1)


class TextTower(nn.Module):
    """The text tower of CLIP, which looks back only, or of SigLIP (`whole`), which reads its padding like words.

    Neither has use for a mask: CLIP's vector is taken at the end of the text, where nothing that follows is seen.
    """

    def __init__(self, network: nn.Module, projection: nn.Module, whole: bool):
        super().__init__()
        self.network, self.projection, self.whole = network, projection, whole
        self.hidden = network.config.hidden_size
        self.width = getattr(projection, "out_features", None) or network.head.out_features

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # [N, L] twice -> [N, L, W], [N, E]
        out = self.network(input_ids=ids, attention_mask=None if self.whole else self._back(ids))
        return out.last_hidden_state, self.projection(out.pooler_output)

    @staticmethod
    def _back(ids: Tensor) -> Tensor:
        """What is added to attention so that no token sees a later one: made here, as a trace would freeze the length
        of the library's own.  # [1, 1, L, L]"""
        at = torch.arange(ids.shape[1], device=ids.device)
        return torch.zeros(()).where(at[:, None] >= at, torch.finfo(torch.float32).min)[None, None]


@dataclass(frozen=True)
class Tower:
    """A text network with its tokenizer, which cuts texts at `longest` tokens; `masked`: the network heeds a mask."""

    network: Sentences | TextTower
    tokenizer: Tokenizer
    longest: int

    @property
    def masked(self) -> bool:
        return isinstance(self.network, Sentences)

    @property
    def one_length(self) -> bool:
        """Whether every text is padded to `longest`."""
        return self.tokenizer.padding is not None

    def tokens(self, texts: Sequence[str], most: int = LONGEST) -> tuple[Tensor, Tensor]:
        """Token ids and mask of texts, int64 [N, L] each: cut at `most` tokens, padded to the longest."""
        self.tokenizer.enable_truncation(min(most, self.longest))
        found = self.tokenizer.encode_batch(list(texts))
        ids = np.zeros((len(found), max(len(f.ids) for f in found)), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(found):
            ids[row, :len(one.ids)], mask[row, :len(one.ids)] = one.ids, one.attention_mask
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def as_json(self) -> str:
        """The tokenizer as a device reads it, with how it cuts and pads."""
        self.tokenizer.enable_truncation(self.longest)
        return self.tokenizer.to_str()


def load(folder: Path, where: str, attention: str = "eager") -> Tower:
    """The reading half of a checkpoint, in float32 on the processor; `where` is how errors call it.

    Raises UserError where it cannot be loaded safely, has none, or makes its vectors in a way that is not known.
    """
    whole = model(folder, where, attention)
    config = getattr(whole.config, "text_config", whole.config)
    kind = whole.config.model_type
    if kind in CONTRASTIVE:
        network = TextTower(whole.text_model, getattr(whole, "text_projection", nn.Identity()), "siglip" in kind)
    elif whole.main_input_name == "input_ids" and config is whole.config and not _half(config):
        network = Sentences(whole, _first(folder, where))
    else:
        raise UserError(f"has no text tower that is known ({kind})", where=where, mend=SUCH)
    longest = min(LONGEST, getattr(config, "max_position_embeddings", LONGEST))
    tokenizer = _tokenizer(folder, where)
    if kind in CONTRASTIVE and network.whole:
        _pad(tokenizer, longest, _json(folder / "tokenizer_config.json", where), config.pad_token_id)
    return Tower(network.eval().requires_grad_(False), tokenizer, longest)


def _half(config: Any) -> bool:
    """Whether a network of texts is only half of one: a tower without its projection, an encoder with a decoder."""
    return config.model_type.endswith("_text_model") or config.is_encoder_decoder


def _first(folder: Path, where: str) -> bool:
    """Whether a sentence encoder's vector is its first state instead of the mean, as its own files say."""
    modules = _json(folder / "modules.json", where) or []
    kinds = [str(one["type"]).rpartition(".")[2] for one in modules]
    if strange := [kind for kind in kinds if kind not in MODULES]:
        raise UserError(f"passes its vectors through a module that is not known ({strange[0]})", where=where, mend=SUCH)
    told = _json(folder / "1_Pooling" / "config.json", where)
    if not told:
        return False
    how = told.get("pooling_mode") or [name for name, on in told.items() if name.startswith("pooling_mode") and on]
    how = [how] if isinstance(how, str) else how
    if len(how) != 1 or how[0] not in POOLING:
        raise UserError(f"pools states in a way that is not known ({', '.join(how) or 'none'})", where=where,
                        mend="use a sentence encoder that takes their mean, or the first")
    return POOLING[how[0]]


def _tokenizer(folder: Path, where: str) -> Tokenizer:
    """The checkpoint's tokenizer.json: a device has nothing else to cut texts with."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library has no kind of its own
        raise UserError(f"has no tokenizer.json that can be read ({first_line(error)})", where=where,
                        mend="keep tokenizer.json beside the weights") from error
    tokenizer.no_padding()
    return tokenizer


def _pad(tokenizer: Tokenizer, length: int, told: dict[str, Any], number: int) -> None:
    """SigLIP was trained on lower case and on texts of one length, which not every tokenizer.json says."""
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])])
    named = told.get("pad_token")
    named = named.get("content") if isinstance(named, dict) else named
    if named and tokenizer.token_to_id(named) is not None:
        number = tokenizer.token_to_id(named)
    tokenizer.enable_padding(length=length, pad_id=number, pad_token=tokenizer.id_to_token(number) or "",
                             direction=told.get("padding_side", "right"))


def _json(file: Path, where: str) -> Any:
    """What a file of the checkpoint says; {} where there is none."""
    try:
        return json.loads(file.read_text("utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({first_line(error)})", where=f"{where}: {file.name}",
                        mend="take the file that belongs to the checkpoint") from error
