"""Tiny image-text checkpoints of three architectures, made and trained here, each with its processor and chat template.

Each learns in a second or two to tell which of three colours a picture has, in a word or in JSON, so that what comes
back through a teacher can be right or wrong.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

COLOURS = ("red", "green", "blue")
SCHEMA = {"type": "object", "required": ["colour"], "additionalProperties": False,
          "properties": {"colour": {"type": "string", "enum": list(COLOURS)}}}
WORD, OBJECT = "Which colour?", "Tell the colour in JSON."
TEMPLATE = ("{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
            "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end>{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "max_position_embeddings": 4096, "bos_token_id": None}
SIGHT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def picture(colour: int, seed: int = 0, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Noise uint8 [*size, 3] that is mostly of one colour."""
    rng = np.random.default_rng([seed, colour])
    pixels = rng.integers(0, 60, (*size, 3), dtype=np.uint8)
    pixels[..., colour] += rng.integers(120, 190, dtype=np.uint8)
    return pixels


def make(architecture: str, folder: Path) -> Path:
    """Trains the architecture and saves it with all that belongs to it."""
    logging.disable_progress_bar()
    torch.manual_seed(0)
    model, processor = ARCHITECTURES[architecture]()
    tokens = processor.tokenizer
    model.generation_config.update(pad_token_id=tokens.pad_token_id, eos_token_id=tokens.eos_token_id)
    _teach(model, processor)
    model.save_pretrained(folder)
    if architecture == "qwen":  # as its makers lay it out: nothing is said of the half for videos
        processor.image_processor.save_pretrained(folder)
        tokens.chat_template = processor.chat_template
        tokens.save_pretrained(folder)
    else:
        processor.save_pretrained(folder)
    return folder


def _tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """Bytes, and the control tokens."""
    alphabet = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>",
                                   additional_special_tokens=list(special))


def _text(tokens: PreTrainedTokenizerFast, **more: object) -> dict[str, object]:
    return {**TEXT, "vocab_size": len(tokens), "pad_token_id": tokens.pad_token_id,
            "eos_token_id": tokens.eos_token_id, **more}


def llava():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Pictures

    tokens = _tokenizer("<image>")
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**SIGHT, image_size=56, patch_size=14),
        text_config=transformers.LlamaConfig(**_text(tokens)), image_token_id=tokens.convert_tokens_to_ids("<image>"))
    pictures = Pictures(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    return transformers.LlavaForConditionalGeneration(config), transformers.LlavaProcessor(
        pictures, tokens, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"))


def idefics3():
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil as Pictures

    tokens = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    config = transformers.Idefics3Config(
        vision_config={**SIGHT, "image_size": 64, "patch_size": 16}, scale_factor=2,
        text_config=_text(tokens, model_type="llama"), image_token_id=tokens.convert_tokens_to_ids("<image>"),
        pad_token_id=tokens.pad_token_id)
    return transformers.Idefics3ForConditionalGeneration(config), transformers.Idefics3Processor(
        Pictures(size={"longest_edge": 128}, max_image_size={"longest_edge": 64}), tokens, image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"))


def qwen():
    """Qwen2.5-VL. Its processor has a half for videos too, which needs a library; a model of pictures does not."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Pictures

    tokens = _tokenizer("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    names = {f"{n}_token_id": tokens.convert_tokens_to_ids(f"<|{s}|>") for n, s in
             (("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"),
              ("vision_end", "vision_end"))}
    config = transformers.Qwen2_5_VLConfig(
        vision_config={"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
                       "patch_size": 14, "spatial_merge_size": 2, "window_size": 56, "fullatt_block_indexes": [1]},
        text_config=_text(tokens, rope_parameters={"rope_type": "default", "mrope_section": [2, 3, 3],
                                                   "rope_theta": 10000.0}), **names)
    attributes = ["image_processor", "tokenizer"]
    kind = type("Qwen2_5_VLProcessor", (transformers.Qwen2_5_VLProcessor,),
                {"get_attributes": classmethod(lambda cls: attributes)})
    return transformers.Qwen2_5_VLForConditionalGeneration(config), kind(
        Pictures(patch_size=14, merge_size=2, min_pixels=56 * 56, max_pixels=112 * 112), tokens, None,
        chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"))


ARCHITECTURES: dict[str, Callable] = {"llava": llava, "idefics3": idefics3, "qwen": qwen}


def _teach(model: torch.nn.Module, processor: transformers.ProcessorMixin, steps: int = 200) -> None:
    """Until it tells colours: the loss is taken on what the assistant says."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    said = len(processor.tokenizer("<end>assistant:")["input_ids"])
    for step in range(steps):
        told, answers = [], []
        for i in range(6):
            colour, free = i % 3, i < 3
            answers.append(f" {COLOURS[colour]}" if free else f" {json.dumps({'colour': COLOURS[colour]})}")
            content = [{"type": "image", "image": Image.fromarray(picture(colour, step))},
                       {"type": "text", "text": WORD if free else OBJECT}]
            told.append([{"role": "user", "content": content},
                         {"role": "assistant", "content": [{"type": "text", "text": answers[-1].strip()}]}])
        inputs = processor.apply_chat_template(told, tokenize=True, return_dict=True, return_tensors="pt",
                                               processor_kwargs={"padding": True, "padding_side": "right"})
        labels = inputs["input_ids"].clone()
        labels[inputs["attention_mask"] == 0] = -100
        for row, ids in enumerate(inputs["input_ids"]):
            first = int((ids == processor.tokenizer.eos_token_id).nonzero()[0, 0])  # the end of the question
            labels[row, :first + said] = -100
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.01:
            return
    raise AssertionError(f"the tiny model did not learn its colours (loss {loss.item():.3f})")
