"""The declared ablation of MIPD: baselines and controls, the released method, and ours without each of its parts."""

import dataclasses

from components.recipes.grids import Grid, Variant
from components.recipes.mipd_released.config import Faults

UNCALIBRATED = "evaluate.calibrate=false"
ALL_FAULTS = tuple(f"distil.faults.{f.name}=true" for f in dataclasses.fields(Faults))

GRID = Grid(
    subject="mipd",
    variants={
        "mipd": Variant(),
        "mipd-released": Variant(recipe="mipd-released"),
        "mipd without penalty": Variant((UNCALIBRATED,)),
        "mipd-released without penalty": Variant((UNCALIBRATED,), "mipd-released"),
        "labels only": Variant(("distil.teacher=false",)),
        "labels and their nouns as text": Variant(("distil.teacher=false", "distil.label_text=true")),
        "mipd, shuffled rationales": Variant(("distil.shuffle=true",)),
        "mipd-released with its faults": Variant(ALL_FAULTS, "mipd-released"),
        "mipd - composites": Variant(("distil.composites=false",)),
        "mipd - scene vector": Variant(("distil.terms.scene=0",)),
        "mipd - regions": Variant(("distil.terms.instances=0", "distil.terms.dense=0", "distil.terms.dense_nouns=0")),
        "mipd - logit adjustment": Variant(("distil.prior=0",)),
        "mipd - trained alignment": Variant(("align.steps=0",)),
        "mipd + averaged weights": Variant(("distil.ema=0.99",)),
    },
    budgets={
        "small": ("draw.total_train=700", "draw.dev_per_verb=6", "draw.test_per_verb=12", "draw.pseudo_per_verb=12",
                  "draw.unseen_per_verb=16", "distil.epochs=4"),
        "full": (),
        "tiny": ("draw.total_train=230", "draw.dev_per_verb=2", "draw.test_per_verb=2", "draw.pseudo_per_verb=3",
                 "draw.unseen_per_verb=2", "distil.epochs=1", "evaluate.bootstrap=50"),
    },
    columns={
        "seen": "seen.top1_verb",
        "rare": "rare.top1_verb",
        "unseen": "unseen.top1_verb",
        "harmonic": "harmonic",
        "unseen top-5": "unseen.top5_verb",
        "seen among seen": "seen.among_seen_top1",
        "unseen among unseen": "unseen.among_unseen_top1",
        "seen value (true verb)": "seen.gt_value",
        "unseen value (true verb)": "unseen.gt_value",
        "unseen boxes of tools and items": "unseen.box.tool_and_item",
    },
    # The penalty moves seen and unseen verbs against each other; the last two columns do not know it.
    compared=("seen", "rare", "unseen", "harmonic", "unseen among unseen", "unseen value (true verb)"),
)
