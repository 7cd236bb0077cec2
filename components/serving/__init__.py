"""Prediction from an exported bundle, without torch."""
