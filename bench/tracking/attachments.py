"""What a parent run shows besides figures: the report's pictures, and the best seed's model."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.code_digest import ROOT
from bench.figures.curves import learning_curves
from bench.figures.drawing import Picture
from bench.figures.soundscapes import scenes
from bench.results.curves import curves
from bench.results.load import Results
from bench.results.soundscapes import soundscapes
from bench.tracking.store import OWNER, Store
from bench.tracking.views import TrackedRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient


def pictures(results: Results, dataset: str) -> dict[str, list[tuple[str, Picture]]]:
    """Learning curves of a data set, and event maps of each of its models, by parent run."""
    found: dict[str, list[tuple[str, Picture]]] = defaultdict(list)
    shown = learning_curves(results.config, dataset, curves(results, dataset))
    for group in results.base_groups(dataset):
        if shown is not None:
            found[group.name].append(("learning_curves", shown))
    if results.config.datasets[dataset].localize:
        scapes, _ = soundscapes(results, dataset)
        for number, scene in enumerate(scenes(results.config, scapes)):
            for name, picture in zip(scene.groups, scene.pictures, strict=True):
                found[name].append((f"event_map_{number}", picture))
    return found


def log_pictures(client: MlflowClient, run_id: str, shown: Sequence[tuple[str, Picture]]) -> None:
    """Put pictures among a run's files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in shown:
            path = Path(folder) / f"{name}.{picture.kind}"
            path.write_bytes(picture.data)
            client.log_artifact(run_id, str(path), "figures")


def log_model(store: Store, run_id: str, best: TrackedRecord) -> None:
    """The best seed's checkpoint, with signature and input example."""
    checkpoint = best.folder / "model.pt"
    if not checkpoint.is_file():
        return
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    front_end = best.record.resolved.front_end
    shape = (front_end.frames, front_end.mels)
    kind = np.dtype(np.float32)
    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name=re.sub("[/.]", "-", best.key.rpartition("/")[0]),  # MLflow refuses these in names
            tags={OWNER: store.owner},
            params=best.parameters(),
            python_model=str(ROOT / "bench" / "tracking" / "served.py"),
            artifacts={"checkpoint": str(checkpoint)},
            model_config={"architecture": best.record.resolved.model.architecture},
            signature=ModelSignature(
                Schema([TensorSpec(kind, (-1, *shape))]),
                Schema([TensorSpec(kind, (-1, len(best.record.classes)))]),
            ),
            input_example=np.full((1, *shape), -60.0, np.float32),
            pip_requirements=str(ROOT / "requirements.txt"),
            metadata={"key": best.key, "identity": best.record.identity},
        )
    place = store.client.get_logged_model(logged.model_id).artifact_location
    store.places[run_id].append(str(place))
