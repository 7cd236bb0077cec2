"""Frozen image and text encoders behind one interface, with a feature cache."""
