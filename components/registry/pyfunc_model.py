"""The MLflow face of a bundle, run as code by MLflow: image bytes in, one JSON prediction per image out.

MLflow copies this file into the model and executes it; it reads ONNX graphs and tables only, never a pickle.
"""

import json
from pathlib import Path

import mlflow
import pandas as pd


class BundleModel(mlflow.pyfunc.PythonModel):
    """Input: a column "image" of encoded images (JPEG, PNG, WebP). Parameter "verbs": comma-separated, "" for all."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        from components.serving.predictor import Predictor  # here, as registering a model must not load it

        self.predictor = Predictor(Path(context.artifacts["bundle"]))

    def predict(self, context: mlflow.pyfunc.PythonModelContext, model_input: pd.DataFrame,
                params: dict[str, str] | None = None) -> list[str]:
        from components.datasets.images import load_image

        verbs = [v.strip() for v in (params or {}).get("verbs", "").split(",") if v.strip()]
        images = [load_image(bytes(image), f"row {i}") for i, image in enumerate(model_input["image"])]
        return [json.dumps(p, ensure_ascii=False) for p in self.predictor.predict(images, verbs=verbs or None)]


mlflow.models.set_model(BundleModel())
