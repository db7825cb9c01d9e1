"""Trains the made-up task in the processes that torchrun started, or alone; see test_team.py.

python tests/team_training.py FOLDER EPOCHS
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import torch
from small_training import CLASSES, MELS, Tagger, make_recipe, make_task, train
from torch import nn

from bench.experiment.config import Mixup
from bench.files import write_tensors
from bench.models.scoring import score_clips
from bench.process.team import join_team
from modelkit import draws
from modelkit.augment import Augment
from modelkit.output import ModelOutput


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


def main(folder: Path, epochs: int) -> None:
    """Writes model.pt, named by the pairing, and scores.pt."""
    torch.set_num_threads(1)
    task = make_task()
    with join_team() as team:
        for pairing in ("reversed", "permutation", "pairs"):
            torch.manual_seed(0)
            model, progress = train(
                task,
                folder / pairing,
                make_recipe(
                    epochs=epochs, schedule="constant", mixup=Mixup(alpha=0.5, pairing=pairing)
                ),
                team=team,
                model=FrozenTagger(),
                log=lambda line: print(line, flush=True),
            )
            scores = score_clips(model, task, task.rows["train"][:11], "ce", team)
            if team.rank == 0:
                values = {
                    "weights": model.state_dict(),
                    "losses": torch.tensor([point["train_loss"] for point in progress.curve]),
                    "scores": torch.from_numpy(scores.clip_scores),
                }
                write_tensors(folder / f"{pairing}.pt", values)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main(Path(sys.argv[1]), int(sys.argv[2]))
