"""Which clips of users' own data train, validate and test."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bench.corpora.base import SPLITS, TOUCH_S
from bench.corpora.entries import Entry, Names, Problems
from bench.corpora.reading import lines_of, listed_name, stem_of
from bench.strict import Strict, nearest


def _as_part(value: Any) -> Any:
    """Refuse with one reason what is neither a share, names, nor the name of a list file."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not 0 < value < 1:
        raise ValueError(f"a share lies between 0 and 1 (got {value})")
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+ *%?", value):
        raise ValueError(
            f"a share is written as a number without quotes, such as 0.2 (got {value})"
        )
    if not number and not isinstance(value, str | list | tuple):
        raise ValueError(f"give a share (0.2), names ([anna]) or a list file (got {value!r})")
    return value


Part = Annotated[float | Names | str, BeforeValidator(_as_part)]


class Splits(Strict):
    """How clips are split: a list of values of `by`, a share of them, or a list file for each of
    validation and test; the rest is training. By split, a share is one of the groups that no list
    takes: a validation part of published training data."""

    by: Literal["group", "take", "split"] = "group"
    validation: Part = ()
    test: Part = ()
    folds: Literal["group"] | None = Field(
        default=None, description="group = each group is a fold, in the order of their names"
    )


AS_TOLD = Splits()  # as names or table say


def split(entries: list[Entry], splits: Splits, root: Path, where: str, problems: Problems) -> None:
    """Give every entry its split; problems are noted."""
    if not splits.validation and not splits.test:
        _hold_told(entries, where, problems)
        return
    told = next((entry for entry in entries if entry.split), None)
    if told is not None and splits.by != "split":
        problems.add(
            f"{told.where}: split '{told.split}', and {where} splits by {splits.by}; say "
            "{by: split, …} there, or do without the split in the pattern or columns"
        )
    by, assigned = splits.by, dict[int, str]()
    values = {_value(entry, by) for entry in entries}
    shares: dict[str, float] = {}
    for part, chosen in (("test", splits.test), ("validation", splits.validation)):
        if isinstance(chosen, str):
            _take_list(entries, root, chosen, part, where, assigned, problems)
            continue
        if isinstance(chosen, float):
            shares[part] = chosen
            continue
        for value in sorted(set(chosen) - values):
            problems.add(
                f"{where}.{part}: no clip has the {by} '{value}'{nearest(value, values)}; correct "
                "it, or take it out"
            )
        for number, entry in enumerate(entries):
            value = _value(entry, by)
            if value in chosen and assigned.setdefault(number, part) != part:
                problems.add(
                    f"{where}: {by} '{value}' stands in validation and in test; take it out of one"
                )
    rest = [entry for number, entry in enumerate(entries) if number not in assigned]
    share_of = "group" if by == "split" else by
    drawn = _drawn(rest, share_of, shares)
    if shares:
        _check_enough(rest, share_of, len(shares), where, problems)
    for number, entry in enumerate(entries):
        entry.split = assigned.get(number) or drawn.get(_value(entry, share_of), "train")


def _check_enough(
    entries: list[Entry], by: str, shares: int, where: str, problems: Problems
) -> None:
    """Note where no share can be drawn: a class gives one only if it has more values than that."""
    most = max(map(len, _by_class(entries, by).values()), default=0)
    if most > shares:
        return
    if by == "take" and not any(entry.take for entry in entries):
        problems.add(f"{where}: by take, and no clip states one; give the pattern a {{take}}")
        return
    problems.add(
        f"{where}: no class has more than {most} {by}s, and {shares} shares beside training need "
        f"{shares + 1} of each class; add recordings, or name the groups of each split in lists"
    )


def _hold_told(entries: Iterable[Entry], where: str, problems: Problems) -> None:
    """Check splits that names or table state against the valid ones."""
    places: dict[str, str] = {}
    for entry in entries:
        places.setdefault(entry.split, entry.where)
    if not any(places):
        problems.add(
            f"{where}: nothing says which clips are tested; give shares "
            "({validation: 0.2, test: 0.2}), lists of groups, list files, or folds"
        )
        return
    for value in places.keys() - set(SPLITS):
        problems.add(
            f"{places[value]}: split '{value}'; one of {', '.join(SPLITS)}, or say in {where} what "
            "stands for which: {by: split, validation: [val], test: [test]}"
        )


def _value(entry: Entry, by: str) -> str:
    """What an entry is split by."""
    value: str = getattr(entry, by)
    return value or (entry.clip if by == "group" else "")


def _by_class(entries: Iterable[Entry], by: str) -> dict[str, set[str]]:
    """The values of `by` that each class has; clips without a label are a class of their own."""
    values: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for label in entry.labels or ("",):
            values[label].add(_value(entry, by))
    return values


def _take_list(
    entries: list[Entry],
    root: Path,
    listed: str,
    split: str,
    where: str,
    assigned: dict[int, str],
    problems: Problems,
) -> None:
    """Put the clips that a list file names into a split."""
    path = root / listed
    called: dict[str, list[int]] = defaultdict(list)  # a file may hold several clips
    for number, entry in enumerate(entries):
        for name in entry.listed:
            called[name].append(number)
    if not path.is_file():
        problems.add(
            f"{where}.{split}: no such list file: {path}; names of groups go into a list: "
            f"[{path.name}]"
        )
        return
    with problems.noted():
        for line, text in lines_of(path):
            name = listed_name(text, root)
            numbers = called.get(name) or called.get(stem_of(name))  # another suffix is as good
            if numbers is None:
                problems.add(
                    f"{path}, line {line}: '{text}' names no clip of the data set; clips are named "
                    f"in the form of '{entries[0].clip}': correct it, or delete the line"
                )
            elif {assigned.setdefault(number, split) for number in numbers} != {split}:
                problems.add(
                    f"{path}, line {line}: '{text}' stands in the list of another split too; "
                    "delete it from one of them"
                )


def _drawn(entries: list[Entry], by: str, shares: Mapping[str, float]) -> dict[str, str]:
    """Splits by value of `by`, chosen by the hash of its name: the same on every machine.

    The shares are those of each class's values, rarest class first, and at least one of each
    where there are enough; so small data has every class in every split (in the manner of
    Sechidis et al., "On the stratification of multi-label data", 2011).
    """
    labelled = _by_class(entries, by)
    chosen: dict[str, str] = {}
    for label in sorted(labelled, key=lambda x: (len(labelled[x]), x)):
        values = sorted(labelled[label], key=lambda x: hashlib.sha256(x.encode()).digest())
        held = Counter(chosen[value] for value in values if value in chosen)
        free = [value for value in values if value not in chosen]
        for split, share in shares.items():
            due = max(round(share * len(values)), 1) - held[split]
            due = due if len(values) > len(shares) else 0
            for value in free[: max(0, due)]:
                chosen[value] = split
            free = free[max(0, due) :]
        chosen |= dict.fromkeys(free, "train")
    return chosen


def check_splits(
    entries: list[Entry], classes: Collection[str], where: str, problems: Problems
) -> None:
    """Note recordings in two splits, and splits without clips of some class."""
    here = [entry for entry in entries if entry.path] or entries
    _check_groups(entries, "split", problems)
    if not any(entry.split for entry in entries):
        return  # nothing says which; that is told
    for split in SPLITS:
        own = [entry for entry in here if entry.split == split]
        present = {label for entry in own for label in entry.labels}
        lacking = [label for label in classes if label not in present]
        if not own:
            problems.add(
                f"{where}: no clip is in the {split} split; choose another share or list "
                "({by: split, validation: 0.2, test: [test]} where names or table say what is "
                "tested)"
            )
        elif lacking:
            problems.add(
                f"{where}: the {split} split has no clip of {_some(lacking)}; choose other shares "
                "or lists, add recordings, or name the class in leave_out"
            )


def check_folds(
    name: str,
    entries: list[Entry],
    classes: Collection[str],
    count: int,
    called: str,
    problems: Problems,
) -> None:
    """Note recordings in two folds, clips in none, and classes in too few folds; `called` is what
    says the fold."""
    for entry in entries:
        if not entry.fold:
            problems.add(
                f"{entry.where}: no {called}, where other clips have one; give it one, or leave "
                "the clip out"
            )
    _check_groups(entries, "fold", problems)
    if count < 3:
        problems.add(
            f"datasets.{name}: the data has {count} folds; one is tested and one validates, so it "
            "takes three or more"
        )
    held: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for label in entry.labels:
            held[label].add(entry.fold)
    few = [label for label in classes if len(held[label]) < 3]
    if few and count > 2:
        problems.add(
            f"datasets.{name}: {_some(few)} in fewer than three folds, so training, validation or "
            "test has none of it; add recordings, or name the class in leave_out"
        )


def _check_groups(entries: Collection[Entry], column: str, problems: Problems) -> None:
    """A recording belongs to one split and one fold; missing clips cannot leak."""
    _check_cuts(entries, column, problems)
    first: dict[str, Entry] = {}
    told: set[str] = set()
    for entry in entries:
        if not entry.group or not entry.path:
            continue
        other = first.setdefault(entry.group, entry)
        one, two = getattr(other, column), getattr(entry, column)
        if one != two and entry.group not in told:
            told.add(entry.group)
            problems.add(
                f"group '{entry.group}' lies in {column}s {one} ({other.where}) and {two} "
                f"({entry.where}); a recording belongs to one {column} only: split by group, or "
                "take {group} out where clips of a group are independent"
            )


def _check_cuts(entries: Iterable[Entry], column: str, problems: Problems) -> None:
    """Cuts of one file may be of several groups, and overlap only within a split or fold."""
    cuts: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.path:
            cuts[entry.path].append(entry)
    for path, own in cuts.items():
        latest: dict[str, Entry] = {}  # the clip of each split or fold that ends last so far
        for entry in sorted(own, key=lambda x: x.start_s):
            here = getattr(entry, column)
            for value, other in latest.items():
                # of one group: told as such
                if value == here or (entry.group and entry.group == other.group):
                    continue
                if entry.start_s < _end(other) - TOUCH_S:
                    problems.add(
                        f"{entry.where}: {path} from {_span(entry)} overlaps {_span(other)} "
                        f"({other.where}), and they lie in {column}s {here} and {value}; put both "
                        f"into one {column}, or cut them apart"
                    )
            if here not in latest or _end(entry) > _end(latest[here]):
                latest[here] = entry


def _end(entry: Entry) -> float:
    """Where a clip ends in its file, in seconds; infinite where only the file knows."""
    return math.inf if math.isnan(entry.duration_s) else entry.start_s + entry.duration_s


def _span(entry: Entry) -> str:
    end = _end(entry)
    return f"{entry.start_s:g} s to {'its end' if math.isinf(end) else f'{end:g} s'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more classes" if len(names) > 5 else ""
    return ", ".join(f"'{name}'" for name in names[:5]) + more
