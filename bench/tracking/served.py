"""A run's checkpoint as a model of MLflow: features in, probabilities out.

MLflow executes this file when it logs or loads such a model; it needs this repository's modules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Served(PythonModel):
    """Features (N, T, F) float32, as the run's front end makes them, to clip scores (N, C)."""

    def load_context(self, context: Any) -> None:
        """Build the network from the card in its checkpoint."""
        from bench.models.networks import open_checkpoint

        plugin = (context.model_config or {}).get("architecture")
        path = Path(context.artifacts["checkpoint"])
        self.model, self.card = open_checkpoint(path, plugin=plugin)
        self.model.eval()

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Sigmoid where clips have several labels, else softmax."""
        import torch

        from bench.data.task import scaled
        from bench.models.scoring import probabilities

        batch = scaled(np.array(model_input, np.float32), self.card.scale)
        with torch.no_grad():
            logits = self.model(torch.from_numpy(batch)).clip_logits
        return np.asarray(probabilities(logits, self.card.loss))


set_model(Served())
