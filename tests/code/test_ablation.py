"""An ablation's grid names settings that exist, and its table says what was measured, with honest intervals."""

import json
import time

import numpy as np
import pytest
import torch
from scipy import stats

from components import recipes
from components.base.errors import UserError
from components.pipeline import ablation, ablation_table
from components.pipeline.plan import make
from components.recipes.grids import Grid, Variant
from components.recipes.protocol import Report
from components.registry import tracking

GRID = Grid("ours", {"ours": Variant(), "theirs": Variant(("x=1",)), "plain": Variant()}, {"small": ("a.b=1",)},
            {"seen": "seen.top1", "unseen": "unseen.top1", "boxes": "boxes"}, ("seen", "unseen"))


def report(seen: float, unseen: float) -> Report:
    return Report({"seen.top1": seen, "unseen.top1": unseen}, {}, {}, {"names": "known"})


def table(**values: list[tuple[float, float]]) -> ablation_table.Table:
    reports = {name: {seed: report(*pair) for seed, pair in enumerate(pairs)} for name, pairs in values.items()}
    return ablation_table.Table("mipd", GRID, "small", reports, {0: {"seen.top1": 0.9}})


def test_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(5), rng.random(5)
    found = stats.ttest_rel(ours, theirs).confidence_interval()
    assert ablation_table.interval(ours - theirs) == pytest.approx(((ours - theirs).mean(), found.low, found.high))


def test_what_is_sure_is_bold_and_what_is_not_is_not(tmp_path):
    ours = [(0.80, 0.50), (0.70, 0.52), (0.75, 0.48)]
    theirs = [(0.60, 0.51), (0.51, 0.40), (0.55, 0.55)]
    ablation_table.write(table(ours=ours, theirs=theirs), tmp_path)
    text = (tmp_path / "ablation.md").read_text()
    line = next(li for li in text.splitlines() if li.startswith("| theirs | **"))
    assert "**+19.7 [" in line and line.count("**") == 2
    assert "| ours | 75.0 ± 5.0 | 50.0 ± 2.0 |" in text and "| teacher | 90.0 |" in text and "| names | known |" in text
    assert '--seeds 0,1,2 --only "theirs"`' in text  # "plain" was not run
    found = json.loads((tmp_path / "ablation.json").read_text())
    assert found["variants"]["theirs"] == {"settings": ["x=1"], "recipe": "mipd", "seen": [0.6, 0.51, 0.55],
                                           "unseen": [0.51, 0.4, 0.55], "boxes": [],
                                           "protocol": [{"names": "known"}] * 3}
    assert found["gain_of_ours"]["theirs"]["seen"][0] == pytest.approx(0.1967, abs=1e-4)
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_one_seed_proves_no_difference(tmp_path):
    ablation_table.write(table(ours=[(0.8, 0.5)], theirs=[(0.1, 0.1)]), tmp_path)
    assert "ours minus" not in (tmp_path / "ablation.md").read_text() and not (tmp_path / "ablation.png").exists()


def test_every_variant_of_the_declared_grid_is_a_run_of_its_own():
    grid = recipes.grid("mipd")
    plans = {name: make(recipe=v.recipe or "mipd", changes=(*budget, *v.changes))
             for name, v in grid.variants.items() for budget in grid.budgets.values()}
    settings = [json.dumps([p.recipe, p.settings], sort_keys=True) for p in plans.values()]
    assert len(set(settings)) == len(grid.variants)
    assert set(grid.compared) <= set(grid.columns) and grid.subject in grid.variants


def test_seeds_side_by_side_draw_their_own_random_numbers(own_home, monkeypatch):
    """torch's are those of the process: who draws them beside another thread draws other ones at every call."""
    def align(plan, *_):
        torch.manual_seed(plan.seed)
        time.sleep(0.05)
        drawn[plan.seed] = float(torch.rand(1))
        return ""

    def score(*_):
        time.sleep(0.02)
        torch.rand(1)
        return ""

    drawn: dict[int, float] = {}
    monkeypatch.setattr(ablation.alignment, "align", align)
    monkeypatch.setattr(ablation, "distil", lambda *_: "")
    monkeypatch.setattr(ablation.evaluation, "predict", score)
    monkeypatch.setattr(ablation.evaluation, "report", lambda _: report(0.5, 0.5))
    plans = [make(recipe="mipd", seed=seed) for seed in range(4)]
    with tracking.run("ablation") as run:
        ablation._students(plans, [ablation.Shared("", "", "", "")] * 4, run)
    assert drawn == {seed: float(torch.rand(1, generator=torch.Generator().manual_seed(seed))) for seed in range(4)}


@pytest.mark.parametrize(("of", "message"), [
    (("mipd-released", "0"), "declares no ablation"), (("nonsense", "0"), "no recipe 'nonsense'"),
    (("mipd", "0", "smal"), "(?s)no budget 'smal'.*did you mean 'small'"),
    (("mipd", "0", "", ("mipd - fun",)), "no variant 'mipd - fun'"),
    (("mipd", "0,0"), "different whole numbers"), (("mipd", "one"), "different whole numbers"),
    (("mipd", "-1"), "different whole numbers"), (("mipd", ""), "different whole numbers"),
])
def test_a_mistake_in_what_is_asked_is_named(of, message, tmp_path):
    with pytest.raises(UserError, match=message):
        ablation.ablate(ablation.request(*of), tmp_path, print)
    assert not list(tmp_path.iterdir())
