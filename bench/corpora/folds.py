"""Cross-validation: which fold of a corpus is tested, and which one selects."""

from __future__ import annotations

import dataclasses

from bench.corpora.base import Corpus


def with_test_fold(corpus: Corpus, test_fold: int, protocol: str = "clean") -> Corpus:
    """The corpus split for one step of the cross-validation.

    clean: `test_fold` is tested, the next fold (cyclic) is validation, the other three are
    training. published: the other four are training; with no validation split left, selection
    happens on the test fold, as in HTS-AT's and AST's code.

    Raises:
        ValueError: an unknown protocol, or a fold that the corpus does not have.
    """
    folds = {*corpus.clips["fold"], *corpus.missing["fold"]}
    count = int(max(folds)) + 1
    if protocol not in ("clean", "published"):
        raise ValueError(f"unknown protocol '{protocol}'; clean or published")
    if not 0 <= test_fold < count:
        found = f"folds 0 to {count - 1}" if count else "no folds"
        raise ValueError(f"test fold {test_fold}; {corpus.name} has {found}")
    split = dict.fromkeys(range(count), "train")
    if protocol == "clean":
        split[(test_fold + 1) % count] = "validation"
    split[test_fold] = "test"
    return dataclasses.replace(
        corpus,
        clips=corpus.clips.assign(split=corpus.clips["fold"].map(split)),
        missing=corpus.missing.assign(split=corpus.missing["fold"].map(split)),
    )
