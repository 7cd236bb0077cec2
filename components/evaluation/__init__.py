"""Scorers, intervals, plots and report pages: pure functions on arrays and records."""
