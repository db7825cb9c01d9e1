"""Which sources each corpus and split may use: no source serves two splits or two folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synth.bank import Bank
from synth.scenes import Source
from synth.taxonomy import AUDIOSET, DESED, ESC50

SPLITS = ("train", "validation", "test")
FOLDS = 5
PER_FOLD = 4
"""Sources of a class in one fold of the ESC-50-like corpus, where the bank has plenty."""

BySplit = Mapping[str, tuple[Source, ...]]
ByFold = tuple[tuple[Source, ...], ...]


@dataclass(frozen=True)
class Pools:
    """The sources of the bank, shared out.

    Attributes:
        audioset: class -> split -> sources of the AudioSet-like soundscapes.
        desed: DESED label -> split -> sources. Sources of one split here have the same one there.
        others: split -> sources of unlabelled sounds in DESED-like clips.
        esc50: class -> fold -> sources. None of them is used in a soundscape.
        beds: split -> backgrounds of soundscapes; esc_beds: fold -> backgrounds.
    """

    audioset: Mapping[str, BySplit]
    desed: Mapping[str, BySplit]
    others: BySplit
    esc50: Mapping[str, ByFold]
    beds: BySplit
    esc_beds: ByFold


def share_out(bank: Bank, esc_classes: int) -> Pools:
    """Pools of a bank that has at least ten sources of every class."""
    esc: dict[str, ByFold] = {}
    scenes: dict[str, Sequence[Source]] = {}
    for name in bank.classes():
        scenes[name] = sources = _sources(bank, name)
        if name in ESC50:
            own, scenes[name] = _reserve(sources)
            esc[name] = fold_sources(own)
    desed = {
        label: split_sources([source for name in names for source in scenes.get(name, ())])
        for label, names in DESED.items()
    }
    audioset = _audioset(scenes, desed)
    heard = {name for names in DESED.values() for name in names}
    strangers = [parts for name, parts in audioset.items() if name not in heard]
    beds = [source for name in bank.backgrounds() for source in _sources(bank, name)]
    esc_beds, scene_beds = _reserve(beds, len(bank.backgrounds()))
    return Pools(
        audioset=audioset,
        desed=desed,
        others={k: tuple(s for parts in strangers for s in parts[k]) for k in SPLITS},
        esc50={name: esc[name] for name in [n for n in ESC50 if n in esc][:esc_classes]},
        beds=split_sources(scene_beds),
        esc_beds=fold_sources(esc_beds),
    )


def _audioset(
    scenes: Mapping[str, Sequence[Source]], desed: Mapping[str, BySplit]
) -> dict[str, BySplit]:
    """Sources of AudioSet's classes; those used in DESED have the same split there."""
    label_of = {name: label for label, names in DESED.items() for name in names}
    pools: dict[str, BySplit] = {}
    for name, sources in scenes.items():
        if name in AUDIOSET:
            parts = desed[label_of[name]] if name in label_of else split_sources(sources)
            pools[name] = {
                split: tuple(s for s in of if s.name == name) for split, of in parts.items()
            }
    return pools


def split_sources(sources: Sequence[Source]) -> dict[str, tuple[Source, ...]]:
    """Three fifths for training, a fifth each for validation and test."""
    return {
        "train": tuple(s for i, s in enumerate(sources) if i % FOLDS > 1),
        "validation": tuple(sources[1::FOLDS]),
        "test": tuple(sources[0::FOLDS]),
    }


def fold_sources(sources: Sequence[Source]) -> ByFold:
    """Fold = index modulo five."""
    return tuple(tuple(sources[fold::FOLDS]) for fold in range(FOLDS))


def _reserve(
    sources: Sequence[Source], classes: int = 1
) -> tuple[Sequence[Source], Sequence[Source]]:
    """Sources for the ESC-50-like corpus and for soundscapes.

    Up to half, in whole rounds over the folds, and at most PER_FOLD a class and fold, go to the
    first.
    """
    rounds = min(len(sources) // 2 // FOLDS, PER_FOLD * classes)
    step = len(sources) // (rounds * FOLDS)
    first = [s for i, s in enumerate(sources) if i % step == 0][: rounds * FOLDS]
    return first, [s for s in sources if s not in set(first)]


def _sources(bank: Bank, name: str) -> list[Source]:
    return [Source(name, group) for group in bank.groups(name)]
