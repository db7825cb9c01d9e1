"""Whether the results kept to the protocol: each rule, and everything that broke it, by name.

The checks read what the runs left behind (records, scored clips, corpus tables) and trust no
statement of a record that they can compare with something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.code_digest import ARCHITECTURES, model_stage_digest, stage_digest
from bench.corpora.base import check
from bench.evaluation.operating_point import clips_digest
from bench.files import UserError, read_json
from bench.provenance import environment
from bench.reporting import context
from bench.reporting.names import DIGESTS
from bench.reporting.results import NO_RECORD, Group, Results, Run, corpus_of
from bench.reporting.tables import Column, Entry, Row, Table
from bench.reporting.tuning import unequal

RULES = {
    "selection": "epochs, thresholds and filters are chosen on validation clips, never on test",
    "groups": "no original recording lies in two splits or folds",
    "seeds": "every declared run has its record",
    "fresh": "every record was made by the present config, code, pinned packages and data",
    "alike": "records that are averaged or compared were made alike",
    "coverage": "every listed clip is on disk",
    "budget": "models that stand side by side got the same number of recorded trials",
}


@dataclass(frozen=True)
class Breach:
    """One rule broken in one place; `group` is empty where it touches the whole data set.

    `where` names the place: a run, a group or a data set.
    """

    rule: str
    dataset: str
    where: str
    text: str
    group: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@cache
def violations(results: Results) -> tuple[Breach, ...]:
    """What only this audit finds: absent and unlike records are named by `Results` already."""
    budgets = (Breach("budget", dataset, dataset, text) for dataset, text in unequal(results))
    return (*_selection(results), *_corpora(results), *_stale(results), *budgets)


def breaches(results: Results) -> list[Breach]:
    """Everything that broke a rule, in the order of `RULES`."""
    order = list(RULES)
    found = [*violations(results), *_absent(results)]
    return sorted(found, key=lambda breach: order.index(breach.rule))


def broken(results: Results, group: Group) -> list[str]:
    """Why a group's figures must not be compared with published ones: what broke its runs."""
    return [
        str(breach)
        for breach in violations(results)
        if breach.dataset == group.dataset
        and breach.group in ("", group.name)
        and breach.rule not in ("coverage", "budget")
    ]


def audit_table(results: Results) -> Table:
    """A row per rule: kept, or what broke it."""
    found, rows = breaches(results), []
    for rule, meaning in RULES.items():
        places: dict[str, list[str]] = {}
        for breach in found:
            if breach.rule == rule:
                places.setdefault(breach.text, []).append(breach.where)
        answer = "; ".join(f"{text}: {', '.join(where)}" for text, where in places.items())
        rows.append(Row(meaning, {"answer": Entry(words=answer or "kept")}))
    return Table(
        name="protocol",
        title=f"Whether the protocol was kept ({context.data_words(results)})",
        caption=(
            "Each rule held against what the runs left behind: the clips that were scored, the "
            f"corpus tables and the records, on {context.data_words(results)}."
        ),
        columns=[Column("answer", "answer", words=True)],
        rows=rows,
        head="Rule",
    )


def _selection(results: Results) -> Iterator[Breach]:
    for group in results.groups.values():
        protocol = results.config.datasets[group.dataset].fold_protocol
        for run in group.runs:
            for text in _chosen_elsewhere(run, named=protocol == "published" and run.fold >= 0):
                yield Breach("selection", group.dataset, run.key, text, group.name)


def _chosen_elsewhere(run: Run, *, named: bool) -> Iterator[str]:
    """How a run's choices left the validation clips; `named`: its protocol says that they do."""
    clips = _scored_clips(run)
    if clips is None:
        yield "scores.npz is missing or damaged"
        return
    validation, test = clips
    if validation & test and not named:
        yield f"the epoch was chosen on {len(validation & test)} test clips"
    point = (run.values.get("localization") or {}).get("operating_point")
    if point is None:
        return
    chosen = point.get("chosen_on")
    if chosen == clips_digest(test):
        yield "thresholds were chosen on the test clips"
    elif chosen is None:
        yield "the record does not say on which clips its thresholds were chosen"
    elif chosen != clips_digest(validation):
        yield "thresholds were chosen on other clips than the validation clips"


def _scored_clips(run: Run) -> tuple[set[str], set[str]] | None:
    """The (validation, test) clips of a run; None where its scores cannot be read."""
    try:
        with np.load(run.folder / "scores.npz", allow_pickle=False) as arrays:
            clips, split = arrays["clip_ids"], arrays["split"]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    return set(clips[split == "validation"].tolist()), set(clips[split == "test"].tolist())


def _corpora(results: Results) -> Iterator[Breach]:
    for dataset in results.config.datasets:
        group = results.any_group(dataset)
        if group is not None:
            found, listed = (group.first["coverage"][name] for name in ("found", "listed"))
            if found < listed:
                share = 100 * found / listed
                text = f"{found} of {listed} listed clips are on disk ({share:.1f} %)"
                yield Breach("coverage", dataset, dataset, text)
        try:
            corpus = corpus_of(results, dataset)
        except UserError:
            continue  # the tables of a finished experiment may have been deleted
        try:
            check(corpus)
        except UserError as error:
            text = str(error).removeprefix(f"{dataset}: ")
            yield Breach("groups", dataset, dataset, text)


def _absent(results: Results) -> Iterator[Breach]:
    for key, reason in results.missing.items():
        dataset = key.split("/")[0]
        if dataset == "cost":
            continue
        rule = "seeds" if reason == NO_RECORD else "fresh"
        yield Breach(rule, dataset, key, reason, key.rsplit("/", 1)[0])
    for group_key, reason in results.refused.items():
        name = "/".join(group_key)
        yield Breach("alike", group_key[0], name, f"not averaged, because {reason}", name)
    for dataset, reason in results.mixed.items():
        yield Breach("alike", dataset, dataset, f"not compared, because {reason}")


def _stale(results: Results) -> Iterator[Breach]:
    """Records that the present code, pins or data would not give; named once per group."""
    pins = environment()["pins_sha256"]
    evaluation = stage_digest("evaluate")
    for group in results.groups.values():
        architecture = results.config.models[group.model].architecture
        now = {}
        if architecture in ARCHITECTURES:
            now["code_train"] = model_stage_digest("train", architecture)
        now |= {"code_evaluate": evaluation, "pins": pins}
        corpus = results.layout.corpus(group.dataset) / "corpus.json"
        if corpus.is_file():
            now["data"] = read_json(corpus)["digest"]
        digests = group.first["digests"]
        other = [DIGESTS[name] for name, digest in now.items() if digests.get(name) != digest]
        if other:
            text = f"made with other {' and '.join(other)} than the present"
            yield Breach("fresh", group.dataset, group.name, text, group.name)
