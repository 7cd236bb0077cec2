"""Image encoders by name: tiny checkpoints of four kinds give tokens on the recipes' grid, in cache and graph."""

import json

import numpy as np
import pytest
import torch
import transformers

from components.base.errors import UserError
from components.encoders import named
from components.encoders.cache import FeatureCache, write_features
from components.encoders.image import GRID, TOKENS
from components.export.bundle import Session
from components.export.onnx_graph import export_fp32
from components.pipeline.plan import make
from components.recipes.mipd.config import Architecture
from components.recipes.mipd.model import EncoderGraph, Student
from components.recipes.protocol import Graph

SIGHT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
KINDS = {
    "clip": lambda: transformers.CLIPModel(transformers.CLIPConfig(
        vision_config={**SIGHT, "image_size": 224, "patch_size": 16}, text_config=TEXT, projection_dim=8)),
    "siglip": lambda: transformers.SiglipModel(transformers.SiglipConfig(
        vision_config={**SIGHT, "image_size": 384, "patch_size": 16}, text_config={**TEXT, "projection_size": 8})),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=518, patch_size=14)),
    "dinov3": lambda: transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(
        **SIGHT, image_size=224, patch_size=16, num_register_tokens=4)),
}
SIZES = {"clip": 192, "siglip": 384, "dinov2": 504, "dinov3": 192}  # the multiple of 12 patches nearest to their own


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a tiny random checkpoint by its kind."""
    from functools import cache

    @cache
    def made(kind: str):
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(kind)
        KINDS[kind]().save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(
            {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.25, 0.5]}))
        return folder
    return made


def picture(size: int, marked: bool) -> np.ndarray:
    """A grey square, with its upper right quarter red where it is marked."""
    pixels = np.full((size, size, 3), 90, np.uint8)
    if marked:
        pixels[: size // 2, size // 2:] = (250, 20, 20)
    return pixels


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_gives_tokens_on_the_grid_where_things_are(kind, checkpoint):
    encoder = named.get(str(checkpoint(kind)))
    assert (encoder.size, encoder.channels) == (SIZES[kind], 16)
    assert encoder.mean == pytest.approx((127.5, 102, 76.5)) and encoder.std == pytest.approx((63.75, 63.75, 127.5))
    tokens = encoder.features(np.stack([picture(encoder.size, False), picture(encoder.size, True)]))
    assert tokens.shape == (2, TOKENS, 16) and tokens.dtype == np.float16
    moved = np.abs(tokens[1].astype(float) - tokens[0]).sum(-1).reshape(GRID, GRID)
    quarters = [moved[:6, :6], moved[:6, 6:], moved[6:, :6], moved[6:, 6:]]
    assert int(np.argmax([q.mean() for q in quarters])) == 1


def test_the_embedded_encoder_is_one_of_them():
    from components.encoders import image

    encoder = named.get("embedded")
    pictures = np.random.default_rng(0).integers(0, 256, (2, encoder.size, encoder.size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(encoder.features(pictures), image.features(pictures))
    torch.testing.assert_close(encoder.pixels(pictures), image.pixels(pictures).contiguous())
    assert (encoder.revision, encoder.channels) == (image.REVISION, image.CHANNELS)


def test_the_revision_is_that_of_the_weights(checkpoint, tmp_path):
    one, other = named.get(str(checkpoint("clip"))), named.get(str(checkpoint("dinov3")))
    assert one.revision != other.revision and named.revision(str(checkpoint("clip"))) in one.revision
    torch.manual_seed(1)
    KINDS["clip"]().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((checkpoint("clip") / "preprocessor_config.json").read_bytes())
    assert named.revision(str(tmp_path)) != named.revision(str(checkpoint("clip")))


def test_a_student_learns_from_cached_tokens_and_ships_with_its_encoder(checkpoint, tmp_path):
    """From cache to gradient, and as one ONNX graph from pixels to the scene vector."""
    encoder = named.get(str(checkpoint("clip")))
    pictures = np.random.default_rng(0).integers(0, 256, (3, encoder.size, encoder.size, 3), dtype=np.uint8)
    write_features(((str(i), p) for i, p in enumerate(pictures)), encoder.features, tmp_path, revision=encoder.revision)
    cache = FeatureCache(tmp_path)
    cache.verify()
    assert cache.shape == (TOKENS, 16) and cache.revision == encoder.revision
    student = Student(Architecture(width=24, heads=2), cache.shape[-1], 8)
    scene, _, _ = student.encoder(torch.from_numpy(cache.rows(["2", "0"])).float())
    scene[:, 0].sum().backward()
    assert student.encoder.local.weight.shape == (24, 16) and student.encoder.trunk.project.weight.grad.abs().sum() > 0
    student.eval()
    example = encoder.pixels(pictures)
    graph = Graph("encoder", EncoderGraph(encoder.network, student).eval(), (example[:2],), ("image",),
                  ("scene", "memory", "whole"), {"image": {0: "batch"}}, None)
    export_fp32(graph, tmp_path / "encoder.onnx")
    found = Session(tmp_path / "encoder.onnx")({"image": example.numpy()})
    with torch.inference_mode():
        expected = graph.module(example)
    for name, value in zip(graph.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], value.numpy(), atol=2e-4)


def test_what_cannot_be_used_is_said(checkpoint, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        make(changes=("encoder.image=./nowhere",))
    clip = str(checkpoint("clip"))
    assert make(changes=(f"encoder.image={clip}",)).settings["encoder"]["image"] == clip
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (pickled / name).write_bytes((checkpoint("clip") / name).read_bytes())
    torch.save(KINDS["clip"]().state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        named.get(str(pickled))
    bare = tmp_path / "bare"
    KINDS["dinov2"]().save_pretrained(bare)
    with pytest.raises(UserError, match="how images are normalised"):
        named.get(str(bare))
    words = tmp_path / "words"
    transformers.BertModel(transformers.BertConfig(vocab_size=9, **SIGHT)).save_pretrained(words)
    with pytest.raises(UserError, match="no vision transformer"):
        named.get(str(words))
