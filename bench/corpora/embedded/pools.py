"""Which sources each corpus and split may use: no source serves two splits or two folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.corpora.embedded.bank import Bank
from bench.corpora.embedded.scenes import Source
from bench.corpora.embedded.taxonomy import AUDIOSET, DESED, ESC50

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
    esc, scenes, shared = {}, {}, []
    for name in bank.classes():
        sources = _sources(bank, name)
        own, rest = _reserve(sources) if name in ESC50 else ((), sources)
        if name in ESC50 and len(own) >= FOLDS:
            esc[name] = fold_sources(own)
            if set(own) & set(rest):
                shared.append(name)
        scenes[name] = rest
    chosen = [name for name in ESC50 if name in esc][:esc_classes]
    families = {label: [n for n in names if n in scenes] for label, names in DESED.items()}
    desed, borrowed = {}, []
    for label, names in families.items():
        sources = [source for name in names for source in scenes[name]]
        if len(sources) < len(SPLITS):
            borrowed.append(label)
            wanted = [n for n in DESED[label] if n in synthetic.classes()]
            sources = [source for name in wanted for source in _sources(synthetic, name)]
        desed[label] = split_sources(sources)
    in_family = {name: label for label, names in families.items() for name in names}
    audioset = {}
    for name in scenes:
        family = in_family.get(name)
        if name not in AUDIOSET or family in borrowed or len(scenes[name]) < len(SPLITS):
            continue
        parts = desed[family] if family else split_sources(scenes[name])
        own_parts = {k: tuple(s for s in v if s.name == name) for k, v in parts.items()}
        if all(own_parts.values()):
            audioset[name] = own_parts
    if len(audioset) < 2 or len(chosen) < 2:
        raise ValueError(
            f"the bank '{bank.name}' has {len(audioset)} classes of three sources and "
            f"{len(chosen)} ESC-50 classes of five; each corpus needs two"
        )
    strangers = [parts for name, parts in audioset.items() if name not in in_family]
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
        borrowed=tuple(borrowed),
        shared=tuple(name for name in chosen if name in shared),
    )


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


def names_of(parts: Iterable[Source]) -> list[str]:
    """Groups of the sources, sorted."""
    return sorted({source.group for source in parts})
