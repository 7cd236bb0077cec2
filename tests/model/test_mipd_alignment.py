"""The alignment computes what it says: prompts reach the loss, every image has its own boxes, targets are constants."""

import pytest
import torch

from components.encoders.image import TOKENS
from components.encoders.text import WIDTH
from components.recipes.mipd.alignment import Aligner, Layout, Rationales, losses


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    images, roles, phrases = 4, 3, 4
    words = Rationales(
        unit(images, phrases, WIDTH),
        torch.ones(images, phrases, dtype=torch.bool),
        unit(images, WIDTH),
        unit(images, roles, WIDTH),
        unit(images, roles, WIDTH),
        torch.ones(images, roles, dtype=torch.bool),
    )
    boxes = torch.rand(images, roles, 4) * 0.3 + 0.3
    return unit(images, 1 + TOKENS, WIDTH), Layout.of(boxes), words


def moved(aligner: Aligner, batch, steps: int = 2) -> Aligner:
    """After two steps: the zero-initialised output maps have moved, so everything before them feels a gradient."""
    optimizer = torch.optim.AdamW(aligner.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(losses(aligner, *batch, margin=0.2).values()).backward()
        optimizer.step()
    return aligner


def test_both_prompts_and_every_parameter_feel_the_loss(batch):
    aligner = moved(Aligner(WIDTH, WIDTH, at_home=True), batch)
    aligner.zero_grad()
    sum(losses(aligner, *batch, margin=0.2).values()).backward()
    # a softmax does not see a constant added to all of its inputs: biases of scores and keys are free by construction
    free = {"pool.bias"}
    without = [n for n, p in aligner.named_parameters() if (p.grad is None or not p.grad.abs().sum()) and n not in free]
    assert without == []
    assert aligner.prompts.edges.grad.abs().sum() > 0 and aligner.prompts.bank.grad.abs().sum() > 0


def test_prompt_parameters_exist_before_the_optimiser_and_move(batch):
    aligner = Aligner(WIDTH, WIDTH, at_home=True)
    before = {n: p.clone() for n, p in aligner.prompts.named_parameters()}
    assert set(before) == {"edges", "bank"}
    moved(aligner, batch, steps=3)
    assert all(not torch.equal(before[n], p) for n, p in aligner.prompts.named_parameters())


def test_instance_prompt_follows_the_boxes_of_its_own_image(batch):
    grid, _, words = batch
    boxes = torch.rand(4, 3, 4) * 0.3 + 0.3
    prompts = Aligner(WIDTH, WIDTH, at_home=True).prompts
    before = prompts.instance(grid[:, 1:], Layout.of(boxes), words.told)
    other = boxes.clone()
    other[1, 0] = torch.tensor([0.2, 0.2, 0.2, 0.2])
    after = prompts.instance(grid[:, 1:], Layout.of(other), words.told)
    same = torch.ones(4, 3, dtype=torch.bool)
    same[1, 0] = False
    assert not torch.allclose(before[1, 0], after[1, 0]) and torch.allclose(before[same], after[same])


def test_the_bank_is_laid_into_the_box_as_into_a_picture(batch):
    """A box over the whole image shows every cell of the bank equally; a bank cell in one corner only, there only."""
    whole = Layout.of(torch.tensor([[[0.5, 0.5, 1.0, 1.0]]])).shares[0, 0]
    assert whole.sum() == pytest.approx(1, abs=1e-4) and whole.max() < 2.5 * whole.min()


def test_scene_prompt_touches_the_borders_only(batch):
    grid, _, _ = batch
    prompts = Aligner(WIDTH, WIDTH, at_home=True).prompts
    torch.nn.init.ones_(prompts.edges)
    added = (prompts.scene(grid[:, 1:]) - grid[:, 1:])[0, :, 0].view(12, 12)
    assert torch.all(added[1:-1, 1:-1].abs() < 1e-5)
    assert torch.allclose(added[0, 0], torch.tensor(2.0)) and torch.allclose(added[0, 5], torch.tensor(1.0))


def test_untrained_alignment_is_the_teachers_own_view(batch):
    grid, _, words = batch
    with torch.no_grad():
        assert torch.allclose(Aligner(WIDTH, WIDTH, at_home=True).scene(grid, words), grid[:, 0], atol=1e-6)


def test_padded_phrases_do_not_matter(batch):
    grid, boxes, words = batch
    aligner = moved(Aligner(WIDTH, WIDTH, at_home=True), batch).eval()
    said = words.said.clone()
    said[:, 2:] = False
    noise = words.phrases.clone()
    noise[:, 2:] = 100.0
    short = Rationales(words.phrases, said, words.unlike, words.noun, words.not_noun, words.told)
    noisy = Rationales(noise, said, words.unlike, words.noun, words.not_noun, words.told)
    with torch.no_grad():
        assert torch.allclose(aligner.scene(grid, short), aligner.scene(grid, noisy), atol=1e-6)


def test_alignment_pulls_to_its_rationale_and_away_from_the_negative(batch):
    aligner = moved(Aligner(WIDTH, WIDTH, at_home=True), batch, steps=60)
    terms = losses(aligner, *batch, margin=0.2)
    start = losses(Aligner(WIDTH, WIDTH, at_home=True), *batch, margin=0.2)
    assert terms["pull"] < start["pull"] and terms["push"] < start["push"] and terms["pull_noun"] < start["pull_noun"]


def test_weights_survive_saving_bit_by_bit(batch, tmp_path):
    from safetensors.torch import load_file, save_file

    aligner = moved(Aligner(WIDTH, WIDTH, at_home=True), batch)
    save_file({k: v.contiguous() for k, v in aligner.state_dict().items()}, tmp_path / "a.safetensors")
    other = Aligner(WIDTH, WIDTH, at_home=True)
    other.load_state_dict(load_file(tmp_path / "a.safetensors"))
    assert all(torch.equal(p, q) for p, q in zip(aligner.parameters(), other.parameters(), strict=True))
