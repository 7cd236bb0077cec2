"""Training under DeepSpeed: the loop, its checkpoints and resume. Knows no recipe by name."""
