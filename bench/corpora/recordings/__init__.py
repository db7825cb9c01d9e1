"""Real recordings that Debian packages carry, as a bank of sounds for the embedded corpora."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.corpora.recordings.bank import RecordingsBank
from bench.corpora.recordings.fetch import collect
from bench.corpora.recordings.manifest import read_manifest

__all__ = ["RecordingsBank", "open_bank"]


def open_bank(cache: str | Path, say: Callable[[str], None] = print) -> RecordingsBank:
    """The bank of all listed recordings that can be had, fetched into `cache` where need be.

    Args:
        say: called with each line of the report on what is there and what is missing.

    Raises:
        UserError: see `fetch.collect`.
    """
    collected = collect(cache, read_manifest(), say=say)
    return RecordingsBank(collected.cache, collected.present)
