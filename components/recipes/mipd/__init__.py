"""MIPD: open-vocabulary Grounded Situation Recognition distilled from a multimodal teacher (arXiv 2507.14686)."""
