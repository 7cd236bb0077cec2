"""TRIDENT with the behaviour of its released code, as switches of one recipe: what `trident` is measured against."""

from components.recipes.trident.config import Config, released
from components.recipes.trident.recipe import Trident


class TridentReleased(Trident):
    """See `components.recipes.trident.config.released` for what differs."""

    name = "trident-released"

    def config(self, *, fast: bool = False) -> Config:
        return released(super().config(fast=fast))


RECIPE = TridentReleased()
