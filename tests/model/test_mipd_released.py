"""The released method computes what it says, and each of its faults, switched on, does what it is said to do."""

import dataclasses

import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional as F

from components.encoders.image import CHANNELS, TOKENS, mirror
from components.encoders.text import WIDTH
from components.recipes.mipd.model import DecoderGraph
from components.recipes.mipd_released import losses
from components.recipes.mipd_released.alignment import Alignment, InstancePrompt
from components.recipes.mipd_released.config import Architecture, Distil, Faults
from components.recipes.mipd_released.model import Pair, Student, Words

IMAGES, ROLES, VERBS, NOUNS, LONG = 3, 2, 5, 7, 6
SMALL = Architecture(heads=2, feedforward=16, noun_width=8, dropout=0.0, decoder_dropout=0.0)


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "features": torch.randn(IMAGES, TOKENS, CHANNELS), "verb": unit(IMAGES, WIDTH),
        "roles": unit(IMAGES, ROLES, WIDTH), "present": torch.ones(IMAGES, ROLES, dtype=torch.bool),
        "box": torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.6, 0.6, 0.3, 0.3]]] * IMAGES),
        "grounded": torch.ones(IMAGES, ROLES, dtype=torch.bool), "noun": torch.tensor([[1, 2]] * IMAGES),
        "answer": torch.tensor([0, 1, 2]), "taught": torch.ones(IMAGES, dtype=torch.bool),
        "grid": torch.randn(IMAGES, 1 + TOKENS, WIDTH), "states": torch.randn(IMAGES, 4, LONG, WIDTH),
        "length": torch.full((IMAGES, 4), LONG - 2), "said": unit(IMAGES, 2, WIDTH),
    }


def pair(faults: Faults = Faults()) -> Pair:  # noqa: B008 (a frozen value)
    torch.manual_seed(1)
    student = Student(SMALL, Words(unit(VERBS, WIDTH), unit(4, WIDTH)), NOUNS, faults, CHANNELS)
    return Pair(student, Alignment(WIDTH, WIDTH, WIDTH, faults))


def output(model: Pair, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    given = (batch[k] for k in ("features", "verb", "roles", "present", "box", "grounded"))
    return model(*given, (batch["grid"], batch["states"], batch["length"]))


def terms(model: Pair, batch: dict[str, torch.Tensor], faults: Faults = Faults()) -> dict[str, torch.Tensor]:  # noqa: B008
    out = output(model, batch)
    torch.manual_seed(2)
    found = losses.supervised(out, batch, unit(VERBS, WIDTH), unit(NOUNS, WIDTH), Distil(faults=faults))
    return found | losses.distilled(out, batch, faults)


def gradients(model: Pair, loss: torch.Tensor) -> dict[str, float]:
    model.zero_grad()
    loss.backward()
    return {n: float(p.grad.abs().sum()) for n, p in model.named_parameters() if p.grad is not None}


def only(**faults: bool) -> Faults:
    return dataclasses.replace(Faults(), **faults)


def test_every_parameter_feels_the_loss_and_moves_and_survives_saving(batch):
    model = pair()
    before = {n: p.clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    sum(terms(model, batch).values()).backward()
    optimizer.step()
    still = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert still == []
    assert {"alignment.edges.edges", "alignment.inside.bank"} <= set(before)
    again = pair()
    again.load_state_dict(load(save({k: v.contiguous() for k, v in model.state_dict().items()})))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_read_at_the_class_token_prompts_influence_nothing(batch):
    prompts = ("alignment.edges.edges", "alignment.inside.bank")
    for faults, reach in ((Faults(), True), (only(prompts_unread=True), False)):
        model = pair(faults)
        felt = gradients(model, sum(terms(model, batch, faults).values()))
        assert all((felt.get(name, 0) > 0) == reach for name in prompts), faults


def test_an_untrained_prompt_never_moves(batch):
    model = pair(only(prompt_untrained=True))
    assert "alignment.inside.bank" not in gradients(model, sum(terms(model, batch).values()))


@pytest.mark.parametrize("shared", [False, True])
def test_the_instance_prompt_lies_in_the_boxes_of_its_own_image(batch, shared):
    prompt = InstancePrompt(WIDTH, only(first_boxes=shared))
    torch.nn.init.ones_(prompt.bank)
    patches, there = batch["grid"][:, 1:], batch["grounded"]
    moved = batch["box"].clone()
    moved[1, 0] = torch.tensor([0.8, 0.2, 0.1, 0.1])
    before, after = (prompt(patches, box, there) for box in (batch["box"], moved))
    changed = [not torch.equal(before[i], after[i]) for i in range(IMAGES)]
    assert changed == [False, not shared, False]


def test_of_overlapping_boxes_the_first_counts_and_the_bank_is_stretched():
    prompt = InstancePrompt(1, Faults())
    with torch.no_grad():  # the bank tells its own column
        prompt.bank.copy_(torch.linspace(0, 1, 32).expand(1, 1, 32, 32))
    left, all_of_it = [0.24, 0.5, 0.48, 1.0], [0.5, 0.5, 1.0, 1.0]
    boxes, there = torch.tensor([[left, all_of_it]]), torch.ones(1, 2, dtype=torch.bool)
    laid = prompt(torch.zeros(1, TOKENS, 1), boxes, there).detach()[0, :, 0].view(12, 12)[0]
    assert torch.all(laid[:6].diff() > 0) and laid[0] < 0.1 and laid[5] > 0.7  # stretched over the first box
    assert laid[6] == pytest.approx(0.54, abs=0.06)  # the rest belongs to the second, half-way through it
    none = prompt(torch.zeros(1, TOKENS, 1), boxes, ~there)
    assert not none.any()


def test_misplaced_boxes_lie_half_as_far_again(batch):
    there, patches = batch["grounded"], torch.zeros(IMAGES, TOKENS, WIDTH)

    def cells(faults: Faults) -> list[int]:
        prompt = InstancePrompt(WIDTH, faults)
        torch.nn.init.ones_(prompt.bank)
        box = torch.tensor([[[1 / 3, 1 / 3, 1 / 12, 1 / 12]]]).expand(IMAGES, 1, 4)
        return prompt(patches, box, there[:, :1])[0, :, 0].nonzero().flatten().tolist()

    assert cells(Faults())[0] == 3 * 12 + 3 and cells(only(boxes_misplaced=True))[0] == 5 * 12 + 5


def test_the_gaze_changes_the_students_gradient_unless_it_is_unheard(batch):
    other = batch | {"states": batch["states"].clone()}
    other["states"][:, 2:] += 1
    for faults, heard in ((Faults(), True), (only(instance_unheard=True), False)):
        model = pair(faults)
        felt = [gradients(model, sum(terms(model, b, faults).values())) for b in (batch, other)]
        student = [n for n in felt[0] if n.startswith("student.")]
        assert any(felt[0][n] != felt[1][n] for n in student) == heard, faults


@pytest.mark.parametrize("name", ["scene", "instance"])
def test_targets_are_constants_unless_they_are_dragged(batch, name):
    for faults, dragged in ((Faults(), False), (only(teacher_dragged=True), True)):
        model = pair(faults)
        felt = gradients(model, terms(model, batch, faults)[name])
        assert any(v > 0 for n, v in felt.items() if n.startswith("alignment.")) == dragged


def test_positives_pull_unless_switched_off(batch):
    assert {"scene_pull", "instance_pull"} <= set(terms(pair(), batch))
    faults = only(positives_unpulled=True)
    assert not {"scene_pull", "instance_pull"} & set(terms(pair(faults), batch, faults))


@pytest.mark.parametrize("read", [False, True])
def test_padding_is_masked_unless_it_is_read(batch, read):
    noisy = batch | {"states": batch["states"].clone()}
    noisy["states"][:, :, LONG - 2:] = 9.0
    model = pair(only(padding_read=read)).eval()
    with torch.no_grad():
        plain, other = (output(model, b) for b in (batch, noisy))
    for name in ("scene_target", "unlike", "instance_target", "unlike_instance"):
        assert torch.allclose(plain[name], other[name], atol=1e-6) != read


def test_queries_come_from_text_unless_rows_are_read(batch):
    for faults, poisoned in ((Faults(), False), (only(rows_untrained=True), True)):
        model = pair(faults).eval()
        decoder = model.student.decoder
        if poisoned:
            with torch.no_grad():
                decoder.of_verbs.weight[3] = float("nan")
        known = decoder.known_verbs[[3, 1, 2]]
        out = output(model, batch | {"verb": known})
        assert bool(out["box"][0].isnan().any()) == poisoned and not out["box"][1].isnan().any()


def test_without_a_temperature_the_scale_is_one(batch):
    bounded, unbounded = pair().student, pair(only(unbounded=True)).student
    assert bounded.log_scale_verb.requires_grad and bounded.log_scale_verb.exp() > 10
    assert not unbounded.log_scale_verb.requires_grad and unbounded.log_scale_verb.exp() == 1


def test_the_closed_head_is_a_table_of_its_rows(batch):
    model = pair().eval()
    student = model.student
    _, memory, whole = student.encoder(batch["features"])
    noun, _, _ = DecoderGraph(student)(memory, batch["verb"], batch["roles"], batch["present"], whole)
    assert torch.allclose(noun @ student.table().T, student.nouns(noun[..., :-1]), atol=1e-5)
    assert torch.allclose(noun @ student.table().T, output(model, batch)["nouns"], atol=1e-5)


def test_mirroring_takes_features_boxes_and_teacher_along_unless_boxes_flip_alone(batch):
    given = (batch["features"], batch["box"], batch["grid"])
    features, box, grid = losses.flip(*given, alone=False)
    assert torch.equal(features, mirror(given[0])) and torch.equal(grid[:, 0], given[2][:, 0])
    assert torch.equal(grid[:, 1:], mirror(given[2][:, 1:]))
    lone = losses.flip(*given, alone=True)
    assert torch.equal(lone[0], given[0]) and torch.equal(lone[2], given[2]) and torch.equal(lone[1], box)
    assert torch.allclose(box[..., 0], 1 - given[1][..., 0])


def test_samples_of_which_nothing_was_said_teach_nothing(batch):
    model = pair()
    silent = batch | {"taught": torch.zeros(IMAGES, dtype=torch.bool)}
    found = losses.distilled(output(model, silent), silent, Faults())
    assert all(v.item() == 0 for v in found.values())
