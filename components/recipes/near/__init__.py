"""NeaR: a classifier that names species, learnt from a teacher's names for unlabelled images (arXiv 2505.01064).

The paper publishes the steps and none of their formulas; docs/recipes/near.md says which are ours. Read in this order:
`naming` (what the teacher is asked), `targets` and `candidates` (what its answers become), `methods` (the switches),
`split`, `refine` and `beliefs` (which names are believed), `task` and `losses` (how is learnt), `decode`, `scoring`.
"""

from components.recipes.near.recipe import Near

RECIPE = Near()
