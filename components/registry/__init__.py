"""What was run, which models came of it, and which of them is champion: the only room that knows MLflow.

These switches must be thrown before MLflow is imported: it calls home from its import, and models could be pickles.
"""

import os

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # the run shows its own progress
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
