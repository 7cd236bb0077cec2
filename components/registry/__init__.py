"""MLflow tracking and registry, and the promotion decision."""
