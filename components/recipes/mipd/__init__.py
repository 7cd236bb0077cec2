"""MIPD: open-vocabulary Grounded Situation Recognition distilled from a multimodal teacher (arXiv 2507.14686).

Read in this order: `rationales` (what the teacher is asked), `alignment` and `targets` (what its answers become),
`model` and `losses` (the student and what it learns from), `inference` and `decode` (the student at work), `scoring`.
"""

from components.recipes.mipd.recipe import Mipd

RECIPE = Mipd()
