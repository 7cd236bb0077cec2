"""Ways of learning from noisy names, as switches of one training loop: ours, and the baselines it is compared with.

Sources: the steps of NeaR (arXiv 2505.01064), whose formulas are ours; DivideMix (arXiv 2002.07394); JoAPR (CVPR 2024).
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Method:
    """`name` is "near" with the switches below, or a baseline with its own (`PRESETS`), which then override them.

    `divide`: whether a name that covers two kinds is two. `candidates`: whether neighbours' names are candidates; `own`
    share of the first target on the image's own name, `temperature` of the neighbours' shares, `uniform` over the
    candidates instead; a name borne by fewer images than `support` counts as a neighbour's only. Split, after `warm_up`
    epochs: clean names by the mixture at `threshold`, by JoAPR's rule, a fixed `share` of the lowest losses, or all;
    `history` averages the losses of five epochs. Refinement: `project` predictions onto the candidates, `sharpen` them.
    Training: `students` that split for each other, `mixing` Beta(a, a) of images (0: off), `unlabelled` the most weight
    of the squared error on noisy images (0: they are learnt like clean ones), `evenness` of predictions, `penalty` on
    sure predictions in the warm-up.
    """

    name: Literal["near", "plain", "divide-mix", "joapr"] = "near"
    divide: bool = True
    candidates: bool = True
    own: float = 0.5
    temperature: float = 0.07
    support: int = 2
    uniform: bool = False
    split: Literal["mixture", "joapr", "share", "none"] = "mixture"
    threshold: float = 0.5
    share: float = 0.5
    history: bool = False
    project: bool = True
    sharpen: float = 0.5
    students: int = 1
    mixing: float = 4.0
    unlabelled: float = 0.0
    evenness: float = 0.0
    penalty: float = 0.0
    warm_up: int = 10


_OFF = {"divide": False, "candidates": False, "own": 1.0, "support": 1, "project": False}
PRESETS: dict[str, Method] = {
    "plain": Method("plain", **_OFF, split="none", mixing=0.0),
    "divide-mix": Method("divide-mix", **_OFF, students=2, mixing=4.0, unlabelled=25.0, evenness=1.0),
    "joapr": Method("joapr", **_OFF, split="joapr", history=True, mixing=0.001, evenness=0.5, penalty=0.5),
}


def resolve(method: Method) -> Method:
    """The switches that count."""
    return PRESETS.get(method.name, method)
