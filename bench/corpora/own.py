"""Shared by the loaders of users' own data: from clips and labels to a checked corpus."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.audio.decode import AudioError, decode
from bench.corpora.base import Corpus, assemble
from bench.corpora.entries import Entry, Names, Problems, natural
from bench.corpora.folds import with_test_fold
from bench.corpora.splitting import Splits, check_folds, check_splits, split
from bench.strict import nearest

ANY_RATE = 16_000  # Hz, at which a file is tried


@dataclass(frozen=True)
class Classes:
    """Options about labels.

    Attributes:
        dataset: the data set's key in the experiment, for messages.
        order: class names in their order; empty: all labels, alphabetically (numbers by value).
        rename: label in the data -> class.
        leave_out: labels that do not count; a clip with no other label is left out.
    """

    dataset: str
    order: Names
    rename: Mapping[str, str]
    leave_out: Names

    def apply(self, entries: list[Entry], problems: Problems) -> list[Entry]:
        """The entries that stay, with their labels renamed."""
        found = {label for entry in entries for label in entry.labels}
        for key, labels in (("rename", self.rename), ("leave_out", self.leave_out)):
            for label in labels:
                if label not in found:
                    problems.add(
                        f"datasets.{self.dataset}.options.{key}: no clip has the label "
                        f"'{label}'{nearest(label, found)}; correct it, or take it out"
                    )
        kept = []
        for entry in entries:
            before = entry.labels
            kept_labels = [self.rename.get(x, x) for x in before if x not in self.leave_out]
            entry.labels = list(dict.fromkeys(kept_labels))
            if entry.labels or not before or entry.strong:
                kept.append(entry)
        return kept

    def know(self, label: str) -> bool:
        """Whether the data may have this label."""
        return not self.order or label in {*self.order, *self.rename, *self.leave_out}

    def refuse(self, places: Mapping[str, list[str]], problems: Problems) -> None:
        """A problem for each of these labels, which are outside the stated order, by where each
        stands."""
        for label, (first, *others) in sorted(places.items()):
            more = f" and {len(others)} more" if others else ""
            problems.add(
                f"{first}{more}: label '{label}' is not in datasets.{self.dataset}.options.classes"
                f"{nearest(label, self.order)}; add it there, map it by rename, or name it in "
                "leave_out"
            )

    def named(self, entries: Iterable[Entry], problems: Problems) -> tuple[str, ...]:
        """All classes in their order; a label outside a stated order is a problem."""
        places: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            for label in entry.labels:
                places[label].append(entry.where)
        if not self.order:
            return tuple(sorted(places, key=natural))
        self.refuse({x: y for x, y in places.items() if x not in self.order}, problems)
        return tuple(dict.fromkeys(self.order))


def corpus_of(
    name: str,
    root: Path,
    entries: list[Entry],
    events: pd.DataFrame | None,
    *,
    classes: Classes,
    splits: Splits,
    multilabel: bool,
    synthetic: bool,
    remarks: Mapping[str, str],
    problems: Problems,
) -> Corpus:
    """Label, split and check entries.

    Raises:
        UserError: one line per problem: those found before, labels outside the class list, a group
            in two splits or folds, a split that lacks a class.
    """
    entries = classes.apply(entries, problems)
    if not entries:
        problems.add(f"datasets.{name}.options.leave_out: leaves no clip; take a label out of it")
        problems.refuse()
    names = classes.named(entries, problems)
    where = f"datasets.{name}.options.splits"
    folds: dict[str, int] = {}
    if splits.folds == "group":
        for entry in entries:
            entry.fold = entry.group
        if not any(entry.group for entry in entries):
            problems.add(
                f"{where}.folds: group, and no clip has one; give the pattern a {{group}}, or "
                "name its column in columns"
            )
    if any(entry.fold for entry in entries):
        if splits.validation or splits.test:
            problems.add(f"{where}: the data has folds, which say what is tested; take it out")
        if any(entry.split for entry in entries):
            problems.add(
                f"datasets.{name}: the data states folds and splits; take one of them out of the "
                "pattern or columns"
            )
        values = sorted({entry.fold for entry in entries}, key=natural)
        folds = {value: number for number, value in enumerate(values)}
        check_folds(name, entries, names, len(folds), splits.folds or "fold", problems)
    elif splits.folds is None:
        split(entries, splits, root, where, problems)
        check_splits(entries, names, where, problems)
    gone = [entry for entry in entries if not entry.path]
    if gone and problems:
        problems.add(
            f"{gone[0].where}: no file of '{gone[0].clip}' is there; it is the first of "
            f"{len(gone)} of {len(entries)} clips that count as missing"
        )
    problems.refuse()
    table = pd.DataFrame(
        {
            "clip": entry.clip,
            "path": entry.path,
            "start_s": entry.start_s,
            "duration_s": entry.duration_s,
            "split": entry.split or "train",
            "fold": folds.get(entry.fold, -1),
            "group": entry.group or entry.clip,
            "strong": entry.strong,
            "labels": entry.labels,
        }
        for entry in entries
    )
    if events is not None:
        renamed = events["event_label"].map(lambda x: classes.rename.get(x, x))
        events = events.assign(event_label=renamed)[~events["event_label"].isin(classes.leave_out)]
    corpus = assemble(
        name, root, names, table,
        multilabel=multilabel, synthetic=synthetic, events=events, remarks=remarks,
    )  # fmt: skip
    corpus = dataclasses.replace(corpus, own=True)
    return with_test_fold(corpus, 0) if folds else corpus


def refuse_copies(corpus: Corpus, digests: Mapping[str, str]) -> None:
    """Refuse files of equal bytes in two splits or folds: one recording under two names.

    Files without sound (empty, silent, not decodable) are equal by chance.

    Args:
        digests: path -> digest of the file's bytes.

    Raises:
        UserError: a line for each two of them.
    """
    problems = Problems()
    clips = corpus.clips.assign(bytes=corpus.clips["path"].map(digests))
    copied = clips.groupby("bytes")["path"].transform("nunique") > 1
    column = "fold" if (clips["fold"] >= 0).any() else "split"
    for _, copies in clips[copied].groupby("bytes"):
        one, *others = copies.drop_duplicates(column)["path"]
        if not others or not _sounds(corpus.root / one):
            continue
        for two in others:
            problems.add(
                f"{corpus.root / one} and {corpus.root / two} are equal and lie in two {column}s; "
                f"a recording belongs to one {column} only: remove one of them, or give both the "
                "same group"
            )
    problems.refuse()


def _sounds(path: Path) -> bool:
    """Whether a file holds any sound."""
    try:
        return not decode(path, ANY_RATE).silent
    except AudioError:
        return False
