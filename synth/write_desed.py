"""The DESED-like corpus: soundscapes of ten classes with weak and strong labels."""

from __future__ import annotations

from bench.text_tables import line_of, text_of
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

SPLITS = {"weak": "train", "strong": "train", "validation": "validation", "public": "test"}
AUDIO = {
    "weak": "train/weak",
    "strong": "train/synthetic21_train/soundscapes",
    "validation": "validation/validation",
    "public": "eval/public",
}
LABELS = {
    "weak": "train/weak.tsv",
    "strong": "train/synthetic21_train/soundscapes.tsv",
    "validation": "validation/validation.tsv",
    "public": "eval/public.tsv",
}
DURATIONS = {
    "validation": "validation/validation_durations.tsv",
    "public": "eval/public_durations.tsv",
}


def plan(sizes: EmbeddedSizes, pools: Pools) -> Layout:
    """Weak and synthetic-strong training parts, validation, and public evaluation."""
    clips = {
        part: [_clip(sizes, pools, part, index) for index in range(getattr(sizes, part))]
        for part in SPLITS
    }
    planned = (Planned(SPLITS[part], spec) for part, specs in clips.items() for spec in specs)
    return Layout("desed", tuple(planned), lambda events: _tables(clips, events))


def _clip(sizes: EmbeddedSizes, pools: Pools, part: str, index: int) -> Soundscape:
    rng = stream("desed", sizes.seed, part, index)
    split, seconds = SPLITS[part], sizes.clip_seconds
    classes = list(pools.desed)
    names: list[str | None] = [classes[index % len(classes)]]
    names += [pick(rng, classes) for _ in range(number_of_sounds(rng, sizes.sounds) - 1)]
    if part != "weak" and rng.random() < sizes.empty_share:
        names = []
    if rng.random() < sizes.distractor_share:
        names.append(None)
    sounds = [
        Sound(pick(rng, pools.others[split] if n is None else pools.desed[n][split]), n)
        for n in names
    ]
    if part == "strong":
        filename = f"{index}.wav"
    else:
        start = 10 * int(rng.integers(0, 60))
        clip = youtube_id("desed", sizes.seed, part, index)
        filename = f"Y{clip}_{start:.3f}_{start + seconds:.3f}.wav"
    path = f"desed/audio/{AUDIO[part]}/{filename}"
    return Soundscape(
        key=f"{sizes.seed}:{path}",
        path=path,
        seconds=seconds,
        rate=sizes.desed_rate,
        sounds=tuple(sounds),
        bed=pick(rng, pools.beds[split]),
        acoustics=Acoustics(sizes.scene_snr_db, sizes.room),
    )


def _tables(clips: dict[str, list[Soundscape]], events: Events) -> dict[str, str]:
    files = {}
    for part, specs in clips.items():
        rows = _weak(specs, events) if part == "weak" else _strong(specs, events)
        header = ("filename", "event_labels") if part == "weak" else _STRONG
        files[f"desed/metadata/{LABELS[part]}"] = text_of([header, *rows])
        if part in DURATIONS:
            seconds = sorted((_filename(s), f"{s.seconds:.3f}") for s in specs)
            files[f"desed/metadata/{DURATIONS[part]}"] = text_of(
                [("filename", "duration"), *seconds]
            )
    return files


_STRONG = ("filename", "onset", "offset", "event_label")


def _weak(specs: list[Soundscape], events: Events) -> list[tuple[str, ...]]:
    return sorted(
        (_filename(spec), line_of(sorted({event.label for event in events[spec.path]}), ","))
        for spec in specs
    )


def _strong(specs: list[Soundscape], events: Events) -> list[tuple[str, ...]]:
    """A clip without events is a row with empty fields."""
    rows: list[tuple[str, ...]] = []
    for spec in sorted(specs, key=_filename):
        name = _filename(spec)
        rows += [
            (name, f"{e.onset / 1000:.3f}", f"{e.offset / 1000:.3f}", e.label)
            for e in events[spec.path]
        ] or [(name, "", "", "")]
    return rows


def _filename(spec: Soundscape) -> str:
    return spec.path.rpartition("/")[2]
