"""Text encoders by name: checkpoints of three kinds read as they were trained to, in a student of their own width."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import few_scenes
import numpy as np
import pytest
import tiny_texts
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from components.base.errors import UserError
from components.datasets.store import Dataset
from components.encoders import named, text
from components.export import edge, text_graph
from components.pipeline.plan import make
from components.pipeline.steps import encoders
from components.recipes import get
from components.recipes.mipd import targets, task
from components.recipes.mipd.config import Config, Encoder
from components.serving.text import TextEncoder as Device
from flows.cli import cli

ROOT = Path(__file__).parents[2]
TEXTS = ("surfing", "feeding a dog", "Zürich – naïve café", "a person rides a very long bicycle on a street", "x")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The folder of a tiny random checkpoint by its kind."""
    from functools import cache

    return cache(lambda kind: str(tiny_texts.make(kind, tmp_path_factory.mktemp(kind))))


def test_threads_that_need_a_model_at_the_same_time_all_get_it():
    """transformers, imported for the first time by one of them, replaces itself: the others once got a husk of it."""
    code = ("import threading, time\n"
            "from components.encoders import checkpoint, text\n"
            "got = []\n"
            "def want(late):\n"
            "    time.sleep(late)\n"
            "    got.append(checkpoint.model(text.get('embedded').folder, 'a test'))\n"
            "threads = [threading.Thread(target=want, args=(0.15 * i,)) for i in range(5)]\n"
            "[t.start() for t in threads], [t.join() for t in threads]\n"
            "assert len(got) == 5\n")
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@torch.inference_mode()
def by_the_book(kind: str, folder: str, one: str) -> torch.Tensor:
    """The vector of one text as the library's own model gives it, from a tokenizer that nobody touched."""
    model, reads = transformers.AutoModel.from_pretrained(folder), tiny_texts.tokenizer()
    reads.enable_truncation(tiny_texts.LENGTH)
    if kind == "siglip":
        reads.enable_padding(length=tiny_texts.LENGTH, pad_id=0, pad_token="<pad>")
    ids = torch.tensor([reads.encode(one.lower() if kind == "siglip" else one).ids])
    if kind == "bert":
        return model(ids).last_hidden_state.mean(1)[0]
    return model.get_text_features(input_ids=ids).pooler_output[0]


@pytest.mark.parametrize("kind", tiny_texts.KINDS)
def test_a_checkpoint_reads_as_its_makers_meant_it(kind, checkpoint):
    encoder = text.get(checkpoint(kind))
    raw = encoder.raw(TEXTS)
    for vector, one in zip(raw, TEXTS, strict=True):
        expected = F.normalize(by_the_book(kind, checkpoint(kind), one), dim=-1)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    found = encoder.embed([*TEXTS, TEXTS[0]])
    assert found.shape == (6, tiny_texts.WIDTHS[kind]) and found.dtype == np.float32 and encoder.width == found.shape[1]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    centred = raw - encoder.centre
    np.testing.assert_allclose(found[:5], centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-5)
    again = text.TextEncoder(encoder.name, encoder.revision, encoder.folder)
    np.testing.assert_array_equal(found, again.embed([*TEXTS, TEXTS[0]]))


def test_the_centre_is_the_mean_of_general_words(checkpoint):
    encoder = text.get(checkpoint("bert"))
    general = encoder.raw([*text.names_of_classes(), *text.ACTIVITIES * 10])
    np.testing.assert_allclose(encoder.centre, general.mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", tiny_texts.KINDS)
def test_states_are_those_of_the_texts_own_tokens(kind, checkpoint):
    states, length = text.get(checkpoint(kind)).states(["surfing", "", "feeding a dog"], 12)
    assert states.shape == (3, 12, 32) and states.dtype == np.float16 and list(length) == [9, 0, 12]
    assert not states[1].any() and not states[0, 9:].any() and states[0, :9].any(1).all()


def test_the_embedded_encoder_is_one_of_them():
    """Its own folder, taken as any checkpoint, is read in the same way: the mean, as its files say."""
    embedded = text.get()
    named_so = text.get(str(embedded.folder))
    np.testing.assert_array_equal(named_so.raw(TEXTS), embedded.raw(TEXTS))
    np.testing.assert_array_equal(text.embed(TEXTS), embedded.embed(TEXTS))
    assert named_so.revision != embedded.revision == text.REVISION and embedded.width == text.WIDTH


def test_what_is_made_in_a_space_is_kept_under_its_revision(checkpoint, tmp_path):
    one, other = (text.get(checkpoint(kind)) for kind in ("clip", "bert"))
    changed = text.get(str(tiny_texts.make("clip", tmp_path / "clip", seed=1)))
    keys = [encoders(Config(encoder=Encoder(text=e.name)), "image", "text") for e in (one, other, changed, text.get())]
    assert len({key["text"] for key in keys}) == 4 and {key["image"] for key in keys} == {named.revision("embedded")}
    assert encoders(object(), "image", "text") == {}  # a recipe that leaves no choice
    tables = [e.table(TEXTS) for e in (one, other, changed)]
    for encoder, table in zip((one, other, changed), tables, strict=True):
        np.testing.assert_array_equal(table, encoder.embed(TEXTS))
    assert not np.allclose(tables[0], tables[2], atol=0.1)


def test_a_sentence_encoder_says_how_it_pools(checkpoint, tmp_path):
    folder, plain = tmp_path / "bert", text.get(checkpoint("bert"))
    shutil.copytree(plain.folder, folder)
    (folder / "1_Pooling").mkdir()
    said = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    first = text.TextEncoder(str(folder), "", folder)
    with torch.inference_mode():
        states = first.tower.network(*first.tower.tokens(["surfing"]))[0]
    np.testing.assert_allclose(first.raw(["surfing"]), F.normalize(states[:, 0], dim=-1), atol=1e-6)
    assert text.get(str(folder)).revision != plain.revision and not np.allclose(first.raw(TEXTS), plain.raw(TEXTS))
    for name, content, fault in (("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
                                 ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "cls, mean"),
                                 ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "Dense")):
        (folder / name).write_text(json.dumps(content))
        with pytest.raises(UserError, match=fault):
            _ = text.TextEncoder(str(folder), "", folder).tower
    (folder / "modules.json").write_text("{")
    with pytest.raises(UserError, match=r"modules\.json"):
        _ = text.TextEncoder(str(folder), "", folder).tower


def test_what_cannot_be_used_is_said(checkpoint, tmp_path):
    with pytest.raises(UserError, match="no such folder") as found:
        make(changes=("encoder.text=./nowhere",))
    assert "encoder.text=./nowhere" in str(found.value)
    clip = checkpoint("clip")
    assert make(changes=(f"encoder.text={clip}",)).settings["encoder"] == {"image": "embedded", "text": clip}
    folders = {name: tmp_path / name for name in ("seeing", "half", "pickled", "wordless")}
    transformers.Dinov2Model(transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(folders["seeing"])
    transformers.CLIPModel.from_pretrained(clip).text_model.save_pretrained(folders["half"])
    for name in ("pickled", "wordless"):
        shutil.copytree(checkpoint("bert"), folders[name])
    (folders["pickled"] / "model.safetensors").unlink()
    torch.save(tiny_texts.KINDS["bert"]().state_dict(), folders["pickled"] / "pytorch_model.bin")
    (folders["wordless"] / "tokenizer.json").unlink()
    faults = ("no text tower", "no text tower", "safetensors", "tokenizer.json")
    for name, fault in zip(folders, faults, strict=True):
        with pytest.raises(UserError, match=fault) as found:
            text.get(str(folders[name])).embed(["surfing"])
        assert f"encoder.text={folders[name]}" in str(found.value)


@pytest.mark.parametrize("kind", ["siglip", "bert"])
def test_a_device_reads_as_torch_does(kind, checkpoint):
    """CLIP is read on a device below."""
    files, facts = text_graph.text_encoder(checkpoint(kind))
    assert facts["cosine_min"] >= text_graph.FLOOR and facts["encoder"] == text.get(checkpoint(kind)).revision
    found = Device(files["tokenizer.json"].parent)([*TEXTS, "word " * 300])
    assert (found * text.get(checkpoint(kind)).embed([*TEXTS, "word " * 300])).sum(1).min() > 0.99


@pytest.fixture(scope="module")
def stage(home, checkpoint, tmp_path_factory):
    """A few scenes, the embedded teacher, and a student that sees and reads with one CLIP checkpoint."""
    made, teacher = few_scenes.stage(tmp_path_factory.mktemp("few"), labelled=True)
    clip = checkpoint("clip")
    return dataclasses.replace(made, config=dataclasses.replace(made.config, encoder=Encoder(clip, clip))), teacher


def test_a_teacher_is_at_home_in_its_own_space_alone(stage, checkpoint, tmp_path):
    """Whatever its width: what decides is the space."""
    same_width = text.TextEncoder("other", "another/centred", text.get().folder)
    assert same_width.tower.network.width == text.WIDTH
    assert [targets.Sight(stage[1], e).at_home for e in (text.get(), same_width, text.get(checkpoint("clip")))] == [
        True, False, False]


def test_a_student_of_another_width_learns_ships_and_reads_names(stage, tmp_path):
    """From targets to a bundle that, alone, tells apart names given at the command line."""
    given, teacher = stage
    recipe, given = get("mipd"), dataclasses.replace(given, targets=tmp_path / "targets")
    given.targets.mkdir()
    recipe.align(given, teacher, given.targets)
    assert load_file(given.targets / "alignment.safetensors")["to_text.weight"].shape == (24, 384)
    assert np.load(given.targets / "dense.npy").shape == (11, 144, 24)
    one = task.build(**recipe.training_task(given)["arguments"])
    optimizer = torch.optim.AdamW(one.model.parameters(), 1e-3)
    before = one.model.encoder.scene[2].weight.clone()
    sum(one.loss(one.model, one.batch(0, 0, 1)[0], 0).values()).backward()
    optimizer.step()
    assert before.shape == (24, 24) and not torch.equal(before, one.model.encoder.scene[2].weight)
    save_file({k: v.contiguous() for k, v in one.model.state_dict().items()}, tmp_path / "student.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(one.artifacts()))
    facts = edge.export(recipe.export(tmp_path, given), tmp_path / "bundle", {"seed": 0}, seconds=0.4, threads=1)
    assert facts["parity"] < 1e-3
    encoder = text.get(given.config.encoder.text)
    expected = encoder.embed(["kitesurfing", "feeding a dog"])
    assert (Device(tmp_path / "bundle" / "text")(["kitesurfing", "feeding a dog"]) * expected).sum(1).min() > 0.99

    bare, data = tmp_path / "elsewhere", Dataset(given.dataset)
    shutil.copytree(tmp_path / "bundle", bare / "bundle")
    (bare / "photo.jpg").write_bytes(data.image(data.ids[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_get", lambda name: pytest.fail(f"{name} is not on a device"))
        found = CliRunner().invoke(cli, ["predict", str(bare / "photo.jpg"), "--model", str(bare / "bundle"), "--json",
                                         "--verbs", "kitesurfing, feeding a dog", "--nouns", "selfie stick"])
    assert found.exit_code == 0, found.output
    (told,) = json.loads(found.output)
    assert sorted(told["verbs"]) == ["feeding a dog", "kitesurfing"] and "kitesurfing" in told["frames"]


def test_the_released_student_takes_the_width_of_its_words(stage, tmp_path):
    given, teacher = stage
    recipe = get("mipd-released")
    config = dataclasses.replace(recipe.config(fast=True), encoder=Encoder("embedded", given.config.encoder.text))
    config = dataclasses.replace(config, distil=dataclasses.replace(config.distil, batch_size=4))
    given = dataclasses.replace(given, config=config, targets=tmp_path)
    recipe.align(given, teacher, tmp_path)
    from components.recipes.mipd_released.task import build

    one = build(**recipe.training_task(given)["arguments"])
    terms = one.loss(one.model, one.batch(0, 0, 1)[0], 0)
    assert all(torch.isfinite(v) for v in terms.values()) and one.model.student.encoder.to_text.weight.shape == (24, 24)
    assert one.model.alignment.read[0].weight.shape == (24, 32)  # states of CLIP are wider than its vectors
    sum(terms.values()).backward()
    assert one.model.alignment.ask.weight.grad.abs().sum() > 0
    odd = dataclasses.replace(config, student=dataclasses.replace(config.student, heads=5))
    with pytest.raises(UserError, match="5 heads cannot share the 24 dimensions"):
        recipe.align(dataclasses.replace(given, config=odd), teacher, tmp_path)
