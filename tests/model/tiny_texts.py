"""Tiny random checkpoints that read texts, one of each kind, with a tokenizer of bytes."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.utils import logging

SPECIAL = ("<pad>", "<start>", "<end>")
LENGTH = 24  # tokens that the towers of CLIP and SigLIP can read
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIGHT = {**SIZES, "image_size": 48, "patch_size": 4}  # 12 x 12 patches
IDS = {"vocab_size": 259, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 258}
TOWER = {**SIZES, **IDS, "max_position_embeddings": LENGTH}
WIDTHS = {"clip": 24, "siglip": 40, "bert": 32}
NORMALISED = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}

KINDS = {
    "clip": lambda: transformers.CLIPModel(transformers.CLIPConfig(
        vision_config=SIGHT, text_config=TOWER, projection_dim=WIDTHS["clip"])),
    "siglip": lambda: transformers.SiglipModel(transformers.SiglipConfig(
        vision_config=SIGHT, text_config={**TOWER, "projection_size": WIDTHS["siglip"]})),
    "bert": lambda: transformers.BertModel(transformers.BertConfig(
        **SIZES, vocab_size=259, max_position_embeddings=LENGTH, initializer_range=0.3)),
}


def tokenizer() -> Tokenizer:
    """A token for each byte, between a start and an end; the end has the highest id, as in CLIP."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "<start>": 1, **{c: i for i, c in enumerate(letters, 2)}, "<end>": 258}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.TemplateProcessing("<start> $A <end>", special_tokens=[("<start>", 1),
                                                                                            ("<end>", 258)])
    made.add_special_tokens(list(SPECIAL))
    return made


def make(kind: str, folder: Path, seed: int = 0) -> Path:
    """Saves a checkpoint of random weights with all that belongs to it."""
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    KINDS[kind]().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>"}))
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISED))
    return folder
