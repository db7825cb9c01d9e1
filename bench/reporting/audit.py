"""Whether the results kept to the protocol: each rule, and everything that broke it, by name.

The checks read what the runs left behind (records, scored clips, corpus tables) and trust no
statement of a record that they can compare with something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bench.code_digest import model_stage_digest, stage_digest
from bench.corpora.base import check
from bench.files import UserError, read_json
from bench.provenance import environment
from bench.reporting import context
from bench.reporting.choices import Choice, choices
from bench.reporting.names import DIGESTS
from bench.reporting.results import NO_RECORD, Group, Results, Run, corpus_of
from bench.reporting.tables import Column, Entry, Row, Table
from bench.reporting.tuning import unequal

RULES = {
    "selection": "epochs, thresholds and filters are chosen on validation clips, never on test",
    "groups": "no stretch of an original recording lies in two splits or folds",
    "seeds": "every declared run has its record",
    "fresh": "every record was made by the present config, code, pinned packages and data",
    "alike": "records that are averaged or compared were made alike",
    "coverage": "every listed clip is on disk and can be used",
    "budget": "models that stand side by side got the same number of recorded trials",
}

NEEDS_TABLE = ("groups", "fresh")
"""Rules that are held against the corpus tables."""


@dataclass(frozen=True)
class Breach:
    """One rule broken in one place.

    Attributes:
        where: the place: a run, a group or a data set.
        group: empty where it touches the whole data set.
        bars: whether it keeps figures from being compared with published ones. What a published
            protocol does itself bars nothing: `published.differences` weighs it.
    """

    rule: str
    dataset: str
    where: str
    text: str
    group: str = ""
    bars: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@cache
def violations(results: Results) -> tuple[Breach, ...]:
    """What only this audit finds: absent and unlike records are named by `Results` already."""
    budgets = (
        Breach("budget", dataset, dataset, text, bars=False) for dataset, text in unequal(results)
    )
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
        if breach.bars and breach.dataset == group.dataset and breach.group in ("", group.name)
    ]


def audit_table(results: Results) -> Table:
    """A row per rule: kept, not known, or what broke it."""
    found, rows = breaches(results), []
    for rule, meaning in RULES.items():
        places: dict[str, list[str]] = {}
        for breach in found:
            if breach.rule == rule:
                places.setdefault(breach.text, []).append(breach.where)
        gone = without_table(results) if rule in NEEDS_TABLE else []
        if gone:
            places["not known, because the corpus table is not there any more"] = gone
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
        for run in group.runs:
            choice = choices(results)[run.key]
            if choice is None:
                text = "scores.npz is missing or damaged"
                yield Breach("selection", group.dataset, run.key, text, group.name)
                continue
            if choice.on_test:
                text = f"the {choice.what} was chosen on {choice.tested} test clips"
                bars = not _asks_for_test(run)
                text += "" if bars else ", as fold_protocol published asks"
                yield Breach("selection", group.dataset, run.key, text, group.name, bars)
            if text := _thresholds_elsewhere(run, choice):
                yield Breach("selection", group.dataset, run.key, text, group.name)


def _asks_for_test(run: Run) -> bool:
    """Whether a run's own protocol leaves nothing to choose on but the tested fold."""
    return run.fold >= 0 and run.values["resolved"]["dataset"]["fold_protocol"] == "published"


def _thresholds_elsewhere(run: Run, choice: Choice) -> str:
    """How a run's thresholds left the validation clips; empty where they did not."""
    point = (run.values.get("localization") or {}).get("operating_point")
    if point is None:
        return ""
    chosen = point.get("chosen_on")
    if chosen == choice.test:
        return "thresholds were chosen on the test clips"
    if chosen is None:
        return "the record does not say on which clips its thresholds were chosen"
    other = chosen != choice.validation
    return "thresholds were chosen on other clips than the validation clips" if other else ""


def _corpora(results: Results) -> Iterator[Breach]:
    for dataset in results.config.datasets:
        if text := _lacking(results, dataset):
            yield Breach("coverage", dataset, dataset, text, bars=False)
        if dataset in without_table(results):
            continue
        try:
            corpus = corpus_of(results, dataset)
            if corpus.straddling:
                text = f"the published folds share recordings {', '.join(corpus.straddling)}"
                yield Breach("groups", dataset, dataset, text, bars=False)
            check(corpus)
        except UserError as error:
            text = str(error).removeprefix(f"{dataset}: ")
            yield Breach("groups", dataset, dataset, text)


def without_table(results: Results) -> list[str]:
    """Data sets whose corpus table is not there (any more): a work folder may be deleted."""
    layout = results.layout
    return [d for d in results.config.datasets if not (layout.corpus(d) / "corpus.json").is_file()]


def _lacking(results: Results, dataset: str) -> str:
    """What of a data set's lists is not on disk, or cannot be used by some run."""
    groups = [group for group in results.groups.values() if group.dataset == dataset]
    if not groups:
        return ""
    found, listed = (groups[0].first["coverage"][name] for name in ("found", "listed"))
    excluded = max(group.first["coverage"]["excluded"] for group in groups)
    said = []
    if found < listed:
        said.append(f"{found} of {listed} listed clips are on disk ({100 * found / listed:.1f} %)")
    if excluded:
        said.append(f"{excluded} of them cannot be used" if said else f"{excluded} clips unusable")
    return ", ".join(said)


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
        model = group.first["resolved"]["model"]
        now = {
            "code_train": model_stage_digest("train", model["architecture"]),
            "code_evaluate": evaluation,
            "pins": pins,
        }
        features = results.layout.features(group.dataset, model["front_end"])
        for name, path in (
            ("data", results.layout.corpus(group.dataset) / "corpus.json"),
            ("features", features / "digest.json"),
        ):
            if path.is_file():
                now[name] = read_json(path)["digest"]
        digests = group.first["digests"]
        other = [DIGESTS[name] for name, digest in now.items() if digests.get(name) != digest]
        if other:
            text = f"made with other {' and '.join(other)} than the present"
            yield Breach("fresh", group.dataset, group.name, text, group.name)
