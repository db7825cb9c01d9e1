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
    """The sources of the builder's banks, shared out.

    Attributes:
        audioset: class -> split -> sources of the AudioSet-like soundscapes.
        desed: DESED label -> split -> sources. Sources of one split here have the same one there.
        others: split -> sources of unlabelled sounds in DESED-like clips.
        esc50: class -> fold -> sources.
        beds: split -> backgrounds of soundscapes; esc_beds: fold -> backgrounds.
        borrowed: DESED labels that the synthetic bank serves because the bank has too few sources.
        shared: classes whose ESC-50-like sources are heard in soundscapes, too, because the bank
            has too few: pretraining on the AudioSet-like corpus may have met them.
    """

    audioset: Mapping[str, BySplit]
    desed: Mapping[str, BySplit]
    others: BySplit
    esc50: Mapping[str, ByFold]
    beds: BySplit
    esc_beds: ByFold
    borrowed: tuple[str, ...]
    shared: tuple[str, ...]


def share_out(bank: Bank, synthetic: Bank, esc_classes: int) -> Pools:
    """Pools of `bank`, with `synthetic` where it lacks backgrounds or a class of DESED.

    Raises:
        ValueError: fewer than two classes for one of the corpora.
    """
    esc: dict[str, ByFold] = {}
    scenes: dict[str, Sequence[Source]] = {}
    shared: list[str] = []
    for name in bank.classes():
        scenes[name] = sources = _sources(bank, name)
        if name in ESC50 and len(sources) >= FOLDS:
            own, scenes[name] = _reserve(sources)
            esc[name] = fold_sources(own)
            if set(own) & set(scenes[name]):
                shared.append(name)
    chosen = [name for name in ESC50 if name in esc][:esc_classes]
    desed, borrowed = _desed(scenes, synthetic)
    audioset = _audioset(scenes, desed, borrowed)
    if len(audioset) < 2 or len(chosen) < 2:
        raise ValueError(
            f"the bank '{bank.name}' has {len(audioset)} classes of three sources and "
            f"{len(chosen)} ESC-50 classes of five; each corpus needs two"
        )
    heard = {name for names in DESED.values() for name in names}
    strangers = [parts for name, parts in audioset.items() if name not in heard]
    beds = [source for name in bank.backgrounds() for source in _sources(bank, name)]
    if len(beds) < FOLDS:
        beds = [source for name in synthetic.backgrounds() for source in _sources(synthetic, name)]
    esc_beds, scene_beds = _reserve(beds, len({source.name for source in beds}))
    return Pools(
        audioset=audioset,
        desed=desed,
        others={k: tuple(s for parts in strangers for s in parts[k]) for k in SPLITS},
        esc50={name: esc[name] for name in chosen},
        beds=split_sources(scene_beds),
        esc_beds=fold_sources(esc_beds),
        borrowed=borrowed,
        shared=tuple(name for name in chosen if name in shared),
    )


def _desed(
    scenes: Mapping[str, Sequence[Source]], synthetic: Bank
) -> tuple[dict[str, BySplit], tuple[str, ...]]:
    """Sources by DESED label and split, and the labels that `synthetic` serves."""
    pools: dict[str, BySplit] = {}
    borrowed = []
    for label, names in DESED.items():
        sources = [source for name in names for source in scenes.get(name, ())]
        if len(sources) < len(SPLITS):
            borrowed.append(label)
            known = [name for name in names if name in synthetic.classes()]
            sources = [source for name in known for source in _sources(synthetic, name)]
        pools[label] = split_sources(sources)
    return pools, tuple(borrowed)


def _audioset(
    scenes: Mapping[str, Sequence[Source]],
    desed: Mapping[str, BySplit],
    borrowed: Sequence[str],
) -> dict[str, BySplit]:
    """The bank's own classes with a source for every split; DESED's sources keep their split."""
    label_of = {name: label for label, names in DESED.items() for name in names}
    pools: dict[str, BySplit] = {}
    for name, sources in scenes.items():
        label = label_of.get(name)
        if name not in AUDIOSET or label in borrowed or len(sources) < len(SPLITS):
            continue
        parts = desed[label] if label else split_sources(sources)
        own = {split: tuple(s for s in of if s.name == name) for split, of in parts.items()}
        if all(own.values()):
            pools[name] = own
    return pools


def split_sources(sources: Sequence[Source]) -> dict[str, tuple[Source, ...]]:
    """Three fifths for training, a fifth each for validation and test; of three, one each.

    Raises:
        ValueError: fewer than three sources.
    """
    if len(sources) < len(SPLITS):
        raise ValueError(f"{len(sources)} sources cannot serve three splits")
    return {
        "train": tuple(s for i, s in enumerate(sources) if i % FOLDS > 1),
        "validation": tuple(sources[1::FOLDS]),
        "test": tuple(sources[0::FOLDS]),
    }


def fold_sources(sources: Sequence[Source]) -> ByFold:
    """Fold = index modulo five.

    Raises:
        ValueError: fewer than five sources.
    """
    if len(sources) < FOLDS:
        raise ValueError(f"{len(sources)} sources cannot serve five folds")
    return tuple(tuple(sources[fold::FOLDS]) for fold in range(FOLDS))


def _reserve(
    sources: Sequence[Source], classes: int = 1
) -> tuple[Sequence[Source], Sequence[Source]]:
    """Sources for the ESC-50-like corpus and for soundscapes.

    Up to half, in whole rounds over the folds, and at most PER_FOLD a class and fold, go to the
    first; with fewer than ten, both have all.
    """
    rounds = min(len(sources) // 2 // FOLDS, PER_FOLD * classes)
    if rounds == 0:
        return sources, sources
    step = len(sources) // (rounds * FOLDS)
    first = [s for i, s in enumerate(sources) if i % step == 0][: rounds * FOLDS]
    return first, [s for s in sources if s not in set(first)]


def _sources(bank: Bank, name: str) -> list[Source]:
    return [Source(bank.name, name, group) for group in bank.groups(name)]
