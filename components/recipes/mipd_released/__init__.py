"""MIPD as its released code computes it, on this house's encoders, data and budget: what `mipd` is measured against.

Read in this order: `config` (every fault is a switch), `alignment` (scene and instance prompts, NMPA), `model` (the
student), `losses`, `task`.
"""

from components.recipes.mipd_released.recipe import MipdReleased

RECIPE = MipdReleased()
