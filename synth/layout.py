"""What a corpus writer passes to the builder, and what the writers share."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from synth.scenes import Event, Spec
from synth.synth import Generator

Item = TypeVar("Item")

Events = Mapping[str, tuple[Event, ...]]
"""Realised events by path of the clip."""


@dataclass(frozen=True)
class Planned:
    """A file (or several) to be rendered, and its split."""

    split: str
    spec: Spec


@dataclass(frozen=True)
class Layout:
    """One corpus: its audio, and its text files once the events are known."""

    name: str
    clips: tuple[Planned, ...]
    tables: Callable[[Events], dict[str, str]]


def youtube_id(*key: object) -> str:
    """Eleven characters as YouTube's ids have them; one in 64 begins with '-'."""
    digest = hashlib.sha256(":".join(map(str, key)).encode()).digest()
    return base64.urlsafe_b64encode(digest)[:11].decode()


def pick(rng: Generator, items: tuple[Item, ...] | list[Item]) -> Item:
    """One of `items`, all equally likely."""
    return items[int(rng.integers(len(items)))]


def number_of_sounds(rng: Generator, shares: Sequence[float]) -> int:
    """How many sounds a clip has: 1, 2, ... in proportion to `shares`."""
    return 1 + int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares), side="right"))
