"""A folder of audio whose paths contain the labels: users' own data, without code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.corpora.base import Corpus
from bench.corpora.entries import Entry, Names, Problems, Text
from bench.corpora.own import Classes, corpus_of
from bench.corpora.pattern import Ambiguous, Pattern
from bench.corpora.reading import (
    AudioFolder,
    composed,
    lines_of,
    listed_name,
    require,
    stem_of,
    unnamed_remark,
)
from bench.corpora.splitting import AS_TOLD, Splits
from bench.files import UserError

EXAMPLES = 3


def load(
    root: Path,
    *,
    name: str = "folder",
    pattern: str,
    classes: Names = (),
    rename: dict[Text, Text] | None = None,
    leave_out: Names = (),
    splits: Splits = AS_TOLD,
    synthetic: bool = False,
) -> Corpus:
    """The audio below `root` that matches `pattern`; a clip is its whole file, with one label.

    Files that do not match the pattern are not clips, and are named as remarks. A clip that a list
    file names but that does not exist counts as missing. `fold` numbers the sorted values of
    `{fold}` from 0; without `{group}`, every file is a separate recording.

    Args:
        root: folder of the data set.
        name: the data set's key in the experiment.
        pattern: see `Pattern`; its fields are label, group, fold, split, take and ignore.
        classes: class names in their order; without them all labels, alphabetically.
        rename: label in the paths -> class.
        leave_out: labels that are not classes; their files are left out.
        splits: how clips are split, if neither `{fold}` nor `{split}` says it.
        synthetic: whether the audio was made by the embedded builder.

    Raises:
        UserError: one line for each problem: a pattern that matches no file or matches one in two
            ways, two files of one name, labels outside `classes`, a group in two splits, a split
            that lacks a class, names in `splits` that no clip has.
    """
    require(root, name)
    where = f"datasets.{name}.options.pattern"
    form, files, problems = Pattern(pattern, where), AudioFolder(root), Problems()
    entries, others = [], []
    for path in files.unnamed:
        problems.add(f"{root}/{unnamed_remark(path)}")
    for path in (*files.names, *files.unread):
        try:
            fields = form.fields_of(path)
        except Ambiguous as error:
            problems.add(
                f"{root / path}: {where} '{pattern}' {error}; say what a field may be, as in "
                r"{take:\d+}"
            )
            continue
        if fields is None:
            others.append(path)
        else:
            entries.append(_entry(root, path, files.find(path), fields))
    if not entries:
        problems.add(_fits_nothing(root, where, form, others))
        problems.refuse()
    _refuse_twins(root, entries, problems)
    entries += list(_listed_only(root, form, entries, splits))
    remarks = dict.fromkeys(others, f"does not fit the pattern '{pattern}'")
    return corpus_of(
        name,
        root,
        entries,
        None,
        classes=Classes(name, classes, rename or {}, leave_out),
        splits=splits,
        multilabel=False,
        synthetic=synthetic,
        remarks=remarks | files.remarks,
        problems=problems,
    )


def _entry(root: Path, name: str, path: str, fields: dict[str, str]) -> Entry:
    entry = Entry(composed(name), path, str(root / name), [fields.pop("label")])
    entry.listed = tuple(dict.fromkeys(map(composed, (name, stem_of(name)))))
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def _fits_nothing(root: Path, where: str, form: Pattern, others: list[str]) -> str:
    """Why a pattern gave no clip, with examples of the files."""
    if not others:
        return f"{root}: no audio file below it; set root to the folder that holds the audio"
    some = ", ".join(f"'{path}'" for path in others[:EXAMPLES])
    folders = others[0].count("/")
    simple = "{ignore}/" * (folders - 1) + "{label}/{take}" if folders else "{label}_{take}"
    return (
        f"{where}: '{form.text}' fits none of the {len(others)} audio files below {root}, as "
        f"{some}; say with braces what their names are made of, as in '{simple}'"
    )


def _refuse_twins(root: Path, entries: list[Entry], problems: Problems) -> None:
    """Two files of one name in two formats would be one clip twice."""
    twins: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        twins[stem_of(entry.clip)].append(entry.clip)
    for stem, names in twins.items():
        if len(names) > 1:
            problems.add(
                f"{root / stem}: lies there in {len(names)} forms ({', '.join(names)}); remove all "
                "but one, or end the pattern with the suffix that counts"
            )


def _listed_only(
    root: Path, form: Pattern, entries: list[Entry], splits: Splits
) -> Iterator[Entry]:
    """Clips that list files name but that do not exist: they count as missing if there are others
    of their label."""
    seen = {name for entry in entries for name in entry.listed}
    labels = {label for entry in entries for label in entry.labels}
    for path in (root / c for c in (splits.validation, splits.test) if isinstance(c, str)):
        with suppress(UserError):  # what is wrong with a list is told where it is taken
            for _, text in lines_of(path) if path.is_file() else ():
                listed = listed_name(text, root)
                with suppress(Ambiguous):
                    fields = form.fields_of(listed)
                    if fields is None or fields["label"] not in labels:
                        continue
                    if not seen & {listed, stem_of(listed)}:
                        seen.add(listed)
                        yield _entry(root, listed, "", fields)
