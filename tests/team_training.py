"""Trains the made-up task in the processes that torchrun started, or alone.

python tests/team_training.py FOLDER [EPOCHS]   (without EPOCHS: the published recipes)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from small_training import CLASSES, MELS, Tagger, make_recipe, make_task, train
from torch import nn

from bench.experiment import config
from bench.experiment.config import Mixup, Recipe, SpecAugment
from bench.files import write_tensors
from bench.models.scoring import score_clips
from bench.models.team import join_team
from modelkit import draws
from modelkit.augment import Augment
from modelkit.output import ModelOutput

ROOT = Path(__file__).resolve().parent.parent


def torchrun(*arguments: str) -> subprocess.Popen[str]:
    """This script in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "tests/team_training.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def made_up_recipes(epochs: int) -> dict[str, Recipe]:
    """One recipe for each way to pair clips."""
    return {
        pairing: make_recipe(
            epochs=epochs, schedule="constant", mixup=Mixup(alpha=0.5, pairing=pairing)
        )
        for pairing in ("reversed", "permutation", "pairs")
    }


def paper_recipes() -> dict[str, Recipe]:
    """One epoch of every published recipe, with stripes that the made-up features hold."""
    paper = config.load(ROOT / "config" / "paper.yaml")
    stripes = SpecAugment(time_width=3, mel_width=2)
    changes = {"epochs": 1, "average_epochs": 0, "supervision": "weak", "precision": "fp32"}
    return {
        f"{model}-{dataset}": paper.recipe(model, dataset).model_copy(
            update={**changes, "specaugment": stripes}
        )
        for model in paper.models
        for dataset in paper.datasets
    }


class FrozenTagger(Tagger):
    """Batch norm keeps its statistics (torch's synchronised one does not run on CPUs); frame logits
    that the loss does not depend on, as clip logits where time ranges alone are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(MELS, CLASSES)

    def forward(self, features: torch.Tensor, augment: Augment | None = None) -> ModelOutput:
        x = features if augment is None else augment.mix(augment.mask(features))
        pooled = draws.dropout(self.norm(x.mean(dim=1)), 0.3, self.training)
        return ModelOutput(self.out(pooled), self.spare(x), 0.1)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.eval()
        return self


def main(folder: Path, recipes: dict[str, Recipe]) -> None:
    """Writes weights, losses and scores of each recipe, NAME.pt."""
    torch.set_num_threads(1)
    task = make_task()
    with join_team() as team:
        for name, recipe in recipes.items():
            torch.manual_seed(0)
            model, progress = train(
                task,
                folder / name,
                recipe,
                team=team,
                model=FrozenTagger(),
                log=lambda line: print(line, flush=True),
            )
            scores = score_clips(model, task, task.rows["train"][:11], "ce", team)
            alone = score_clips(model, task, task.rows["train"][:1], "ce", team)
            if team.rank == 0:
                values = {
                    "weights": model.state_dict(),
                    "losses": torch.tensor([point["train_loss"] for point in progress.curve]),
                    "scores": torch.from_numpy(scores.clip_scores),
                    "one": torch.from_numpy(alone.clip_scores),
                }
                write_tensors(folder / f"{name}.pt", values)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    chosen = made_up_recipes(int(sys.argv[2])) if len(sys.argv) > 2 else paper_recipes()
    main(Path(sys.argv[1]), chosen)
