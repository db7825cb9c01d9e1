"""The baselines of Piczak, "ESC: Dataset for environmental sound classification", ACM MM 2015:
nearest neighbours, a linear support vector machine and a random forest.

The input of all three is the mean and standard deviation over time of each feature, unscaled, in
the order of the author's table: the forest's seed draws features by their places.
scikit-learn fits them; the fitted values are kept as tensors, so that they are stored, scored and
used for tagging like every network. Settings are those of public copies of the author's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from modelkit.augment import Augment
from modelkit.output import ModelOutput

LEAST = 1e-9  # stands for a probability of 0


@dataclass(frozen=True)
class Neighbourhood:
    """How many training clips vote."""

    neighbours: int = 8


@dataclass(frozen=True)
class Margin:
    """Inverse regularisation, scikit-learn's C."""

    strength: float = 0.1


@dataclass(frozen=True)
class Growth:
    """Trees, and the seed that they are grown by."""

    trees: int = 500
    seed: int = 20150420


class Classic(nn.Module):
    """Features to the logarithm of class probabilities; subclasses say which.

    Attributes:
        classes: C.
    """

    def __init__(self, classes: int, *, frames: int, mels: int, seconds: float) -> None:
        super().__init__()
        self.classes = classes

    SETTINGS: ClassVar[tuple[dict[str, Any], ...]] = ({},)

    @staticmethod
    def summary(features: Tensor) -> Tensor:
        """Mean and standard deviation over time: (B, T, F) -> (B, 2F) float64.

        The means of all features but the last (the cepstra), their deviations, then both of the
        last (the zero-crossing rate).
        """
        x = features.double()
        mean, deviation = x.mean(dim=1), x.std(dim=1, correction=0)
        parts = [mean[:, :-1], deviation[:, :-1], mean[:, -1:], deviation[:, -1:]]
        return torch.cat(parts, dim=1)

    def probabilities(self, x: Tensor) -> Tensor:
        """Statistics (B, 2F) to class probabilities (B, C) float64."""
        raise NotImplementedError

    def solved(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Its fitted tensors from statistics (N, 2F) and class numbers (N,) of training clips."""
        raise NotImplementedError

    def solve(self, x: np.ndarray, y: np.ndarray, *, exclusive: bool) -> None:
        """Fit it to summaries (N, 2F) and targets (N, C) 0/1 of training clips.

        Raises:
            ValueError: classes are not exclusive, or have too few training clips.
        """
        if not exclusive:
            raise ValueError("the classic baselines tell classes that exclude each other: loss ce")
        solved = self.solved(x, y.argmax(axis=1))
        found = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in solved.items()}
        self.fit_shapes(found)
        self.load_state_dict(found)

    def forward(self, features: Tensor, augment: Augment | None = None) -> ModelOutput:
        """Features (B, T, F) to float64 clip logits; augmentation is ignored."""
        found = self.probabilities(self.summary(features))
        return ModelOutput(found.clamp_min(LEAST).log(), None, 0.0)

    def fit_shapes(self, state: Mapping[str, Tensor]) -> None:
        """Make room for fitted tensors, whose sizes depend on the training clips."""
        for name, value in state.items():
            if isinstance(getattr(self, name, None), nn.Parameter):
                setattr(self, name, _fitted(torch.zeros_like(value)))


class NearestNeighbours(Classic):
    """The shares of the classes among the k nearest training clips (Euclidean, not scaled)."""

    def __init__(
        self, classes: int, *, frames: int, mels: int, seconds: float, neighbours: int = 8
    ) -> None:
        super().__init__(classes, frames=frames, mels=mels, seconds=seconds)
        self.architecture = Neighbourhood(neighbours)
        self.examples = _fitted(torch.zeros(neighbours, 2 * mels, dtype=torch.float64))
        self.labels = _fitted(torch.zeros(neighbours, dtype=torch.int64))

    def solved(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        if len(x) < self.architecture.neighbours:
            raise ValueError(
                f"{len(x)} training clips are fewer than {self.architecture.neighbours} neighbours"
            )
        return {"examples": x, "labels": y}

    def probabilities(self, x: Tensor) -> Tensor:
        squares = (x[:, None] - self.examples).square().sum(dim=2)
        nearest = squares.topk(self.architecture.neighbours, dim=1, largest=False).indices
        votes = nn.functional.one_hot(self.labels[nearest], self.classes)
        return votes.double().mean(dim=1)


class SupportVectors(Classic):
    """The shares of votes of one linear classifier for every pair of classes."""

    def __init__(
        self, classes: int, *, frames: int, mels: int, seconds: float, strength: float = 0.1
    ) -> None:
        super().__init__(classes, frames=frames, mels=mels, seconds=seconds)
        self.architecture = Margin(strength)
        pairs = classes * (classes - 1) // 2
        self.weights = _fitted(torch.zeros(pairs, 2 * mels, dtype=torch.float64))
        self.bias = _fitted(torch.zeros(pairs, dtype=torch.float64))

    def solved(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        from sklearn.svm import SVC

        machine = SVC(kernel="linear", C=self.architecture.strength).fit(x, y)
        if len(machine.classes_) < self.classes:
            raise ValueError(
                f"{len(machine.classes_)} of {self.classes} classes have training clips"
            )
        sign = -1 if self.classes == 2 else 1  # of two, scikit-learn counts the second up
        return {"weights": sign * machine.coef_, "bias": sign * machine.intercept_}

    def probabilities(self, x: Tensor) -> Tensor:
        """See `Classic`; pairs are (0, 1), (0, 2), … as libsvm has them."""
        first, second = torch.triu_indices(self.classes, self.classes, 1, device=x.device)
        won = torch.where(x @ self.weights.T + self.bias > 0, first, second)
        return nn.functional.one_hot(won, self.classes).double().mean(dim=1)


class Forest(Classic):
    """The mean over trees of the classes' shares in the leaf that a clip falls into."""

    def __init__(
        self,
        classes: int,
        *,
        frames: int,
        mels: int,
        seconds: float,
        trees: int = 500,
        seed: int = 20150420,
    ) -> None:
        super().__init__(classes, frames=frames, mels=mels, seconds=seconds)
        self.architecture = Growth(trees, seed)
        self.roots, self.feature, self.left, self.right = (
            _fitted(torch.zeros(1, dtype=torch.int64)) for _ in range(4)
        )
        self.threshold = _fitted(torch.zeros(1, dtype=torch.float64))
        self.shares = _fitted(torch.full((1, classes), 1 / classes, dtype=torch.float64))

    def solved(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            self.architecture.trees, random_state=self.architecture.seed
        ).fit(x, y)
        trees = [grown.tree_ for grown in forest.estimators_]
        counts = np.array([tree.node_count for tree in trees])
        roots = np.cumsum(counts) - counts
        own = np.arange(counts.sum())
        start = np.repeat(roots, counts)
        feature, left, right, threshold = (
            np.concatenate([getattr(tree, name) for tree in trees])
            for name in ("feature", "children_left", "children_right", "threshold")
        )
        leaf = left < 0
        values = np.concatenate([tree.value[:, 0] for tree in trees])
        shares = np.zeros((len(own), self.classes))
        shares[:, forest.classes_] = values / values.sum(axis=1, keepdims=True)
        return {
            "roots": roots,
            "feature": np.where(leaf, 0, feature),
            "left": np.where(leaf, own, start + left),
            "right": np.where(leaf, own, start + right),
            "threshold": threshold,
            "shares": shares,
        }

    def probabilities(self, x: Tensor) -> Tensor:
        """See `Classic`; a leaf is its own child."""
        x = x.float().double()  # as the trees were grown
        node = self.roots.expand(len(x), -1)
        while True:
            goes_left = x.gather(1, self.feature[node]) <= self.threshold[node]
            below = torch.where(goes_left, self.left[node], self.right[node])
            if torch.equal(below, node):
                return self.shares[node].mean(dim=1)
            node = below


def _fitted(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)
