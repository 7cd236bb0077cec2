"""The transformers teacher over real checkpoints of three architectures: what it says, sees and reads is theirs."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_checkpoints import COLOURS, OBJECT, SCHEMA, WORD, picture

from components import teachers
from components.base.errors import UserError
from components.encoders.image import GRID
from components.teachers import huggingface
from components.teachers.pictures import within
from components.teachers.protocol import Question, View, together

SIZES = [(48, 64), (64, 48), (100, 90), (30, 30), (56, 200)]


@pytest.fixture(scope="module", params=["llava", "idefics3", "qwen"])
def teacher(request, checkpoint):
    return teachers.get(f"transformers:{checkpoint(request.param)}?max_tokens=24&batch=4")


@pytest.fixture(scope="module")
def llava(checkpoint):
    return checkpoint("llava")


def view(colour: int, seed: int = 1000, size: tuple[int, int] = (48, 64)) -> View:
    pixels = picture(colour, seed, size)
    return View(f"{colour}-{seed}-{size}", lambda: pixels)


def test_it_answers_about_each_picture_in_words_and_to_a_schema(teacher):
    views = [view(i % 3, 2000 + i) for i in range(9)]
    truth = [COLOURS[i % 3] for i in range(9)]
    questions = [Question("free", WORD, "1"), Question("strict", OBJECT, "1", SCHEMA)]
    free = teacher.answer(views, questions[:1] * 9)
    assert [a.text for a in free] == truth
    assert all(a.tokens_in > 10 and 3 <= a.tokens_out <= 24 and a.seconds > 0 for a in free)
    bare = Question("bare", OBJECT, "1")  # the schema in the prompt is more than the tiny model has learnt to read
    assert [json.loads(a.text) for a in teacher.answer(views[:3], [bare] * 3)] == [{"colour": c} for c in COLOURS]


def test_a_question_may_be_about_several_pictures(teacher):
    """Each is put before the model, in order; alone they are what the answer to the last of them was trained on."""
    one, both = view(0), together([view(0), view(2)])
    answers = teacher.answer([one, both, both], [Question("free", WORD, "1")] * 3)
    assert answers[1].text in COLOURS and answers[1].text == answers[2].text
    assert answers[1].tokens_in > answers[0].tokens_in + 4 and both.id not in (one.id, view(2).id)


def test_a_schema_is_checked_and_asked_for_again(teacher, monkeypatch):
    """The first prompt asks for a word, which does not fit; only the second one is what the model answers in JSON."""
    asked = []

    def asking(prompt, schema, complaint):
        asked.append(complaint)
        return OBJECT if complaint else WORD

    monkeypatch.setattr(huggingface, "asking", asking)
    answers = teacher.answer([view(0), view(2)], [Question("strict", "?", "1", SCHEMA)] * 2)
    assert [json.loads(a.text) for a in answers] == [{"colour": "red"}, {"colour": "blue"}]
    assert asked == ["", "", "not JSON", "not JSON"]


def test_what_never_fits_is_a_failure_with_the_whole_cost(teacher):
    schema = {"type": "object", "required": ["weight"]}
    answer, = teacher.answer([view(0)], [Question("strict", WORD, "1", schema)])
    once, = teacher.answer([view(0)], [Question("free", WORD, "1")])
    assert answer.text == "" and answer.failure.startswith("3 answers, the last one ")
    assert answer.tokens_in > 3 * once.tokens_in


def test_answers_do_not_depend_on_what_shares_their_batch(teacher):
    views = [view(i % 3, 50 + i, size) for i, size in enumerate(SIZES)]
    questions = [Question("free", "x" * i + WORD, "1") for i in range(5)]
    alone = [teacher.answer([v], [q])[0].text for v, q in zip(views, questions, strict=True)]
    assert {i: a.text for i, a in teacher.stream(views, questions)} == dict(enumerate(alone))


def test_control_tokens_in_a_prompt_are_text(teacher):
    """A name in a data set can neither end the turn, nor speak for the assistant, nor stand for a picture."""
    control = "".join(str(t) for t in teacher.processor.tokenizer.added_tokens_decoder.values())
    inputs = [teacher._inputs([[within(view(0).load(), 64)]], [text]) for text in (WORD, WORD + control)]
    marks = list(teacher.processor.tokenizer.added_tokens_decoder)
    plain, hostile = ([int((i["input_ids"] == m).sum()) for m in marks] for i in inputs)
    assert plain == hostile


def test_grid_is_the_models_own_sight_laid_on_the_recipes_grid(teacher):
    plain = np.full((336, 336, 3), 90, np.uint8)
    marked = plain.copy()
    marked[:168, 168:] = (250, 20, 20)  # the upper right quarter
    grid = teacher.grid([View("a", lambda: plain), View("b", lambda: marked), view(1, size=(40, 90))])
    width = teacher.words(["x"]).shape[1]
    assert grid.shape == (3, 1 + GRID * GRID, width) and grid.dtype == np.float32
    assert not np.allclose(grid[0, 0], grid[1, 0])
    moved = np.abs(grid[1, 1:] - grid[0, 1:]).sum(-1).reshape(GRID, GRID)
    quarters = [moved[:6, :6], moved[:6, 6:], moved[6:, :6], moved[6:, 6:]]
    assert int(np.argmax([q.mean() for q in quarters])) == 1


def test_words_are_unit_states_whatever_shares_their_batch(teacher):
    texts = ["a dog", "a much longer text about something else", "x"]
    words = teacher.words(texts)
    assert words.dtype == np.float32 and np.allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)
    assert np.allclose(words[0], teacher.words(["a dog"])[0], atol=1e-5)
    assert abs(words[0] @ words[1]) < 0.999


def test_score_is_the_mean_likelihood_of_the_candidates_tokens(teacher):
    """Against one whole forward pass for each candidate, with nothing kept in between."""
    candidates = ["red", "a dog", "riding a horse in the rain"]
    views = [view(0), view(2, size=(90, 40))]
    scores = teacher.score(views, candidates)
    assert scores.dtype == np.float32 and np.allclose(scores.sum(1), 1, atol=1e-5)
    slow = []
    for one in views:
        inputs = dict(teacher._inputs([[within(one.load(), 1024)]], [huggingface.CHOICE]))
        row = []
        for candidate in candidates:
            tokens = teacher.processor.tokenizer([f" {candidate}"], add_special_tokens=False, return_tensors="pt")
            ids = tokens["input_ids"]
            whole = inputs | {"input_ids": torch.cat([inputs["input_ids"], ids], 1)}
            whole["attention_mask"] = torch.ones_like(whole["input_ids"])
            if "mm_token_type_ids" in whole:
                whole["mm_token_type_ids"] = torch.cat([whole["mm_token_type_ids"], torch.zeros_like(ids)], 1)
            with torch.no_grad():
                logits = teacher.model(**whole).logits[0, -ids.shape[1] - 1:-1].float()
            row.append(torch.log_softmax(logits, -1).gather(-1, ids[0][:, None]).mean())
        slow.append(torch.softmax(torch.stack(row), 0).numpy())
    assert np.allclose(scores, slow, atol=1e-4)


def test_identity_is_the_content_of_the_folder(llava, tmp_path):
    first = teachers.get(f"transformers:{llava}").identity
    copy = shutil.copytree(llava, tmp_path / llava.name)
    assert teachers.get(f"transformers:{copy}").identity == first
    assert (first.backend, first.name, len(first.revision)) == ("transformers", llava.name, 64)
    template = copy / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert teachers.get(f"transformers:{copy}").identity.revision != first.revision


def test_drawn_answers_depend_on_seed_and_question_alone(llava):
    def draw(seed: int, count: int = 1):
        hot = teachers.get(f"transformers:{llava}?temperature=3&seed={seed}&max_tokens=8")
        assert hot.decoding["seed"] == seed
        return [(a.text, a.failure) for a in hot.answer([view(0)] * count, [Question("free", WORD, "1")] * count)]

    assert draw(1) == draw(1, 3)[:1] != draw(2)
    assert "seed" not in teachers.get(f"transformers:{llava}").decoding


def test_dtype_is_chosen_and_part_of_how_answers_are_drawn(llava):
    half = teachers.get(f"transformers:{llava}?dtype=bfloat16&max_tokens=8")
    assert half.model.dtype == torch.bfloat16 and half.decoding["dtype"] == "bfloat16"
    assert half.answer([view(1)], [Question("free", WORD, "1")])[0].text == "green"
    assert half.grid([view(1)]).dtype == np.float32


def test_a_name_on_the_hub_is_a_pinned_snapshot(llava, tmp_path, monkeypatch):
    """With the hub's own layout of what was fetched before, and the hub out of reach."""
    import huggingface_hub.constants as hub

    commit, place = "0123456789abcdef0123456789abcdef01234567", tmp_path / "models--lab--tiny"
    shutil.copytree(llava, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    for spec in ("lab/tiny", "lab/tiny@main", f"lab/tiny@{commit}"):
        identity = teachers.get(f"transformers:{spec}").identity
        assert (identity.name, identity.revision) == ("lab/tiny", commit)
    with pytest.raises(UserError, match="lab/other.*not fetched before"):
        teachers.get("transformers:lab/other")


def altered(llava, tmp_path, change):
    copy = shutil.copytree(llava, tmp_path / "altered")
    change(copy)
    return f"transformers:{copy}"


def test_a_pickled_checkpoint_is_not_opened(llava, tmp_path):
    def pickled(folder):
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")

    with pytest.raises(UserError, match="no file named model.safetensors"):
        teachers.get(altered(llava, tmp_path, pickled))


def test_a_checkpoints_own_code_is_not_run(llava, tmp_path):
    def armed(folder):
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "code.Config",
                                                            "AutoModelForImageTextToText": "code.Model"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    with pytest.raises(UserError, match="cannot be loaded"):
        teachers.get(altered(llava, tmp_path, armed))
    assert not (tmp_path / "ran").exists()


def test_a_base_model_without_a_chat_template_is_named(llava, tmp_path):
    with pytest.raises(UserError, match="no chat template"):
        teachers.get(altered(llava, tmp_path, lambda folder: (folder / "chat_template.jinja").unlink()))
