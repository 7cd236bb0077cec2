"""Loads an image-text checkpoint that was found, with its processor: safetensors only, none of its own code."""

from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.utils import logging

from components.base.errors import UserError
from components.encoders.checkpoint import LOCAL, first_line


def load(folder: Path, device: str, dtype: str) -> tuple[PreTrainedModel, ProcessorMixin]:
    """The frozen model, on its device, and its processor. Raises UserError for what cannot be loaded safely."""
    logging.disable_progress_bar()
    gpu = torch.cuda.is_available()
    try:
        processor = _processor(folder)
        model = AutoModelForImageTextToText.from_pretrained(
            folder, use_safetensors=True, device_map=device if device != "auto" or gpu else "cpu",
            dtype=dtype if dtype != "auto" else torch.bfloat16 if gpu and device != "cpu" else torch.float32, **LOCAL)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
        raise UserError(f"cannot be loaded ({first_line(error)})", where=str(folder),
                        mend="give an image-text checkpoint in safetensors that transformers knows itself") from error
    if processor.chat_template is None and processor.tokenizer.chat_template is None:
        raise UserError("has no chat template", where=str(folder), mend="use the model's instruction-tuned checkpoint")
    processor.tokenizer.padding_side = "left"  # generation goes on from the last token of every row
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return model.eval().requires_grad_(False), processor


def _processor(folder: Path) -> ProcessorMixin:
    """The checkpoint's processor; without its half for videos where that lacks a library (torchvision) or a file."""
    try:
        return AutoProcessor.from_pretrained(folder, **LOCAL)
    except (ImportError, OSError):
        model = AutoConfig.from_pretrained(folder, **LOCAL).model_type
        kind = getattr(transformers, PROCESSOR_MAPPING_NAMES.get(model, ""), None)
        if kind is None or "video_processor" not in kind.get_attributes():
            raise
        rest = [name for name in kind.get_attributes() if name != "video_processor"]
        images_only = type(kind.__name__, (kind,), {"get_attributes": classmethod(lambda cls: rest)})
        return images_only.from_pretrained(folder, video_processor=None, **LOCAL)
