"""TRIDENT: attribute-object pairs, also unseen ones, with a teacher's words (arXiv 2411.12584).

Read in this order: `looks` (what the teacher is asked), `targets` and `vocabulary` (what its answers become),
`model` and `losses` (the student and what it learns from), `inference` and `decode` (the student at work), `scoring`.
"""

from components.recipes.trident.recipe import Released, Trident

RECIPE, RELEASED = Trident(), Released()
