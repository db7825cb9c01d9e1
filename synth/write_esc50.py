"""The ESC-50-like corpus: single sounds of exactly five seconds in five folds."""

from __future__ import annotations

import string

from synth.layout import Layout, Planned, pick
from synth.pools import Pools
from synth.scenes import Acoustics, SingleSound, Source
from synth.sizes import EmbeddedSizes
from synth.synth import stream
from synth.taxonomy import ESC10, ESC50

SECONDS, RATE = 5.0, 44_100
HEADER = "filename,fold,target,category,esc10,src_file,take"


def plan(sizes: EmbeddedSizes, pools: Pools) -> Layout:
    """`esc_clips` clips per class and fold; takes are lettered within their source."""
    numbers = _source_numbers([s for of in pools.esc50.values() for fold in of for s in fold])
    clips, rows = [], []
    for name, folds in pools.esc50.items():
        target = ESC50.index(name)
        for fold, sources in enumerate(folds):
            for index in range(sizes.esc_clips):
                source = sources[index % len(sources)]
                take = string.ascii_uppercase[index // len(sources)]
                number = numbers[source]
                filename = f"{fold + 1}-{number}-{take}-{target}.wav"
                rows.append(
                    f"{filename},{fold + 1},{target},{name},{name in ESC10},{number},{take}"
                )
                path = f"esc50/audio/{filename}"
                spec = SingleSound(
                    key=f"{sizes.seed}:{path}",
                    path=path,
                    seconds=SECONDS,
                    rate=RATE,
                    source=source,
                    bed=pick(stream("esc50", sizes.seed, path), pools.esc_beds[fold]),
                    acoustics=Acoustics(sizes.single_snr_db, sizes.room),
                )
                clips.append(Planned(f"fold {fold + 1}", spec))
    text = "\n".join((HEADER, *sorted(rows))) + "\n"
    return Layout("esc50", tuple(clips), lambda _: {"esc50/meta/esc50.csv": text})


def _source_numbers(sources: list[Source]) -> dict[Source, int]:
    """A Freesound-like number for each source, all different."""
    numbers: dict[Source, int] = {}
    for source in sources:
        rng = stream("esc50 source", "synthetic", source.group)
        number = int(rng.integers(10_000, 260_000))
        while number in numbers.values():
            number += 1
        numbers[source] = number
    return numbers
