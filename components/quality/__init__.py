"""Data-quality checks (Great Expectations) and the gate that reads their results."""
