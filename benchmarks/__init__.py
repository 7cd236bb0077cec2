"""Measurements that are re-made by one command each; they print and write figures, and assert nothing about time."""
