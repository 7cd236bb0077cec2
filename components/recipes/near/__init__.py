"""NeaR: a classifier that names species, learnt from a teacher's names for unlabelled images (arXiv 2505.01064).

The paper publishes the steps and none of their formulas; docs/recipes/near.md says which are ours. Here are the pure
functions, on (features, names): read `candidates`, `split`, `refine`, `losses`; `divide_mix` and `joapr` hold what the
baselines have of their own. Not yet a recipe: nothing here trains.
"""
