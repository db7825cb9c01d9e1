"""The stages that see all of AudioSet, at a small share of its clips: what its memory will be."""

from __future__ import annotations

from pathlib import Path

import pytest
from audioset_size import LISTS, measure

LARGEST = 4e9  # bytes of any process at AudioSet's size


@pytest.mark.long
def test_memory_at_the_size_of_audioset_from_that_at_a_hundredth(tmp_path: Path) -> None:
    """What grows with the clips is multiplied by their number, the rest counts once."""
    least, more = 0.001, 0.01
    small = dict(measure(tmp_path / "small", least))
    for stage, figures in measure(tmp_path / "larger", more):
        growth = (figures["peak"] - small[stage]["peak"]) / (more - least)  # bytes for a share of 1
        expected = small[stage]["peak"] + growth
        print(f"{stage}: {expected / 1e6:,.0f} MB at {sum(LISTS.values()):,} clips")
        assert expected < LARGEST, stage
