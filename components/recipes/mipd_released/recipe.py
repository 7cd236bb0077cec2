"""The released MIPD as the pipeline sees it: questions, scores, gates and bundle of `mipd`, its own alignment and
student."""

import dataclasses

from components.recipes.mipd.recipe import Mipd
from components.recipes.mipd_released.config import Config, Distil


class MipdReleased(Mipd):
    """See `components.recipes.mipd_released.config.Faults` for what was mended."""

    name = "mipd-released"

    def config(self, *, fast: bool = False) -> Config:
        ours = super().config(fast=fast)
        shared = {name: getattr(ours, name) for name in ("draw", "ask", "spend", "evaluate", "edge", "bars")}
        return Config(**shared, distil=dataclasses.replace(Distil(), epochs=ours.distil.epochs))
