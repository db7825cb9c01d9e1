"""Cross-validation: which fold of a corpus is tested, and which one selects."""

from __future__ import annotations

import dataclasses

from bench.corpora.base import Corpus

VALIDATES = {"clean": 1, "piczak_cnn": -1, "published": None, "piczak_baselines": None}
"""Protocol -> how many folds after the tested one the validation fold comes, if there is one."""


def with_test_fold(corpus: Corpus, test_fold: int, protocol: str = "clean") -> Corpus:
    """The corpus split for one step of the cross-validation.

    clean: `test_fold` is tested, the next fold (cyclic) is validation, the others are training.
    piczak_cnn: the fold before is validation (Piczak 2015, "Environmental sound classification
    with convolutional neural networks"). In the other two all but one are training: published
    selects on the test fold, as HTS-AT's and AST's code do, and piczak_baselines not at all
    (Piczak 2015, "ESC: Dataset for environmental sound classification").

    Raises:
        ValueError: an unknown protocol, or a fold that the corpus does not have.
    """
    folds = {*corpus.clips["fold"], *corpus.missing["fold"]}
    count = int(max(folds)) + 1
    if protocol not in VALIDATES:
        raise ValueError(f"unknown protocol '{protocol}'; one of {', '.join(VALIDATES)}")
    if not 0 <= test_fold < count:
        found = f"folds 0 to {count - 1}" if count else "no folds"
        raise ValueError(f"test fold {test_fold}; {corpus.name} has {found}")
    split = dict.fromkeys(range(count), "train")
    after = VALIDATES[protocol]
    if after is not None:
        split[(test_fold + after) % count] = "validation"
    split[test_fold] = "test"
    return dataclasses.replace(
        corpus,
        clips=corpus.clips.assign(split=corpus.clips["fold"].map(split)),
        missing=corpus.missing.assign(split=corpus.missing["fold"].map(split)),
    )
