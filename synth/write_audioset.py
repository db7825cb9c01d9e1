"""The AudioSet-like corpus: weakly labelled soundscapes in AudioSet's files."""

from __future__ import annotations

import hashlib

from bench.text_tables import text_of
from synth.layout import (
    Events,
    Layout,
    Planned,
    number_of_sounds,
    pick,
    youtube_id,
)
from synth.pools import Pools
from synth.scenes import Acoustics, Sound, Soundscape
from synth.sizes import EmbeddedSizes
from synth.synth import stream
from synth.taxonomy import AUDIOSET, PARENTS, labels, shared_parents

LISTS = ("balanced_train", "unbalanced_train", "eval")
HELD_OUT = 0.1
"""The loader's default share of training clips that become validation, by a hash of their id."""


def plan(sizes: EmbeddedSizes, pools: Pools) -> Layout:
    """Soundscapes of all classes: balanced, long-tailed (unbalanced) and evaluation lists."""
    numbers = dict(zip(LISTS, (sizes.balanced, sizes.unbalanced, sizes.evaluation), strict=True))
    rows = [_row(sizes, pools, part, i) for part in LISTS for i in range(numbers[part])]
    return Layout(
        "audioset",
        tuple(Planned(split, spec) for _, split, _, spec in rows),
        lambda events: _tables(rows, list(pools.audioset), sizes.clip_seconds, events),
    )


Row = tuple[str, str, str, Soundscape]  # list, split, id, clip


def _row(sizes: EmbeddedSizes, pools: Pools, part: str, index: int) -> Row:
    clip = youtube_id("audioset", sizes.seed, part, index)
    split = "test" if part == "eval" else "validation" if _held_out(clip) else "train"
    rng = stream("audioset", sizes.seed, part, index)
    classes = list(pools.audioset)
    if part == "unbalanced_train":  # a long tail: the class of rank r is drawn by 1 / (r + 3)
        ranked = sorted(classes, key=lambda name: youtube_id("rank", name))
        weights = [1.0 / (rank + 3) for rank in range(len(ranked))]
        first = ranked[int(rng.choice(len(ranked), p=[w / sum(weights) for w in weights]))]
    else:
        first = classes[index % len(classes)]
    names = [first, *(pick(rng, classes) for _ in range(number_of_sounds(rng, sizes.sounds) - 1))]
    path = f"audioset/audio/{part}_segments/Y{clip}.wav"
    spec = Soundscape(
        key=f"{sizes.seed}:{path}",
        path=path,
        seconds=sizes.clip_seconds,
        rate=sizes.audioset_rate,
        sounds=tuple(Sound(pick(rng, pools.audioset[n][split]), n) for n in names),
        bed=pick(rng, pools.beds[split]),
        acoustics=Acoustics(sizes.scene_snr_db, sizes.room),
    )
    return part, split, clip, spec


def _held_out(clip: str) -> bool:
    """Whether bench.corpora.audioset puts a training clip into the validation split."""
    digest = hashlib.sha256(clip.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48 < HELD_OUT


def _tables(rows: list[Row], classes: list[str], seconds: float, events: Events) -> dict[str, str]:
    parents = shared_parents(classes)
    named = [(AUDIOSET[name][0], AUDIOSET[name][1]) for name in classes]
    named += [(mid, PARENTS[mid]) for mid in parents]
    table = ((str(i), *pair) for i, pair in enumerate(sorted(named)))
    header = ("index", "mid", "display_name")
    files = {"audioset/class_labels_indices.csv": text_of([header, *table], ",")}
    for part in LISTS:
        lines: list[str] = []
        positives, used = 0, set[str]()
        for of, _, clip, spec in rows:
            if of != part:
                continue
            heard = {event.label for event in events[spec.path]}
            mids = sorted({mid for name in heard for mid in labels(name, parents)})
            start = 10 * int.from_bytes(hashlib.sha256(clip.encode()).digest()[-1:], "big")
            span = f"{start:.3f}, {start + seconds:.3f}"
            lines.append(f'{clip}, {span}, "{",".join(mids)}"')
            positives, used = positives + len(mids), used | set(mids)
        head = (  # the builder's former place is part of the bytes that data.dvc pins
            "# Segments csv of synthetic soundscapes, made by bench.corpora.embedded",
            f"# num_ytids={len(lines)}, num_segs={len(lines)}, num_unique_labels={len(used)}, "
            f"num_positive_labels={positives}",
            "# YTID, start_seconds, end_seconds, positive_labels",
        )
        files[f"audioset/{part}_segments.csv"] = "\n".join((*head, *lines)) + "\n"
    return files
