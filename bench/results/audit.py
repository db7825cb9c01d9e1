"""Whether the results follow the protocol: each rule, and everything that broke it, by name.

The checks read what the runs wrote (records, scored clips, corpus tables) and verify every
statement of a record that they can compare with something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.code_digest import model_stage_digest, stage_digest
from bench.corpora import open_corpus
from bench.corpora.base import check
from bench.files import UserError, read_json
from bench.provenance import environment
from bench.results.choices import Choice, choice_of
from bench.results.groups import Group, Run
from bench.results.load import NO_RECORD, Results
from bench.results.names import DIGESTS
from bench.results.tuning import Tuning, tunings, unequal

RULES = {
    "selection": "epochs, thresholds and filters are chosen on validation clips, never on test",
    "groups": "no part of an original recording is in two splits or folds",
    "seeds": "every declared run has its record",
    "fresh": "every record was made by the present config, code, pinned packages and data",
    "alike": "records that are averaged or compared were made in the same way",
    "coverage": "every listed clip is on disk and can be used",
    "budget": "models that are compared got the same number of recorded trials",
}

NEEDS_TABLE = ("groups", "fresh")
"""Rules that are checked against the corpus tables."""


@dataclass(frozen=True)
class Breach:
    """One rule broken in one place.

    Attributes:
        where: the place: a run, a group or a data set.
        group: empty if it concerns the whole data set.
        bars: whether it keeps figures from being compared with published ones. What a published
            protocol does itself bars nothing: `published.differences` judges it.
    """

    rule: str
    dataset: str
    where: str
    text: str
    group: str = ""
    bars: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True, eq=False)
class Audited(Results):
    """Results with how their runs came to be, and every rule that they broke.

    Attributes:
        choices: run key -> how it chose; None where its scores cannot be read.
        tunings: base group -> how its recipe was chosen.
        without_table: data sets without a corpus table: a work folder may be deleted.
        violations: what only this audit finds, in the order of the checks.
    """

    choices: Mapping[str, Choice | None]
    tunings: Mapping[str, Tuning]
    without_table: tuple[str, ...]
    violations: tuple[Breach, ...]

    @property
    def breaches(self) -> list[Breach]:
        """Everything that broke a rule, including absent and unlike records, by `RULES`."""
        order = list(RULES)
        found = [*self.violations, *_absent(self)]
        return sorted(found, key=lambda breach: order.index(breach.rule))

    def broken(self, group: Group) -> list[str]:
        """Why a group's figures must not be compared with published ones: what broke its runs."""
        return [
            str(breach)
            for breach in self.violations
            if breach.bars and breach.dataset == group.dataset and breach.group in ("", group.name)
        ]


def audit(results: Results) -> Audited:
    """Check the results against every rule; reads scores, corpus tables and recorded trials."""
    choices = {run.key: choice_of(run) for group in results.groups.values() for run in group.runs}
    tuned, absent = tunings(results), _without_table(results)
    budgets = (
        Breach("budget", dataset, dataset, text, bars=False)
        for dataset, text in unequal(results, tuned)
    )
    violations = (
        *_selection(results, choices),
        *_corpora(results, absent),
        *_stale(results),
        *budgets,
    )
    return Audited(
        **vars(results),
        choices=choices,
        tunings=tuned,
        without_table=absent,
        violations=violations,
    )


def _selection(results: Results, choices: Mapping[str, Choice | None]) -> Iterator[Breach]:
    for group in results.groups.values():
        for run in group.runs:
            choice = choices[run.key]
            if choice is None:
                text = "scores.npz is missing, damaged, or not that of its record"
                yield Breach("selection", group.dataset, run.key, text, group.name)
                continue
            if choice.on_test:
                text = f"the {choice.what} was chosen on {choice.tested} test clips"
                bars = not _asks_for_test(run)
                text += "" if bars else ", as fold_protocol published requires"
                yield Breach("selection", group.dataset, run.key, text, group.name, bars)
            if text := _thresholds_elsewhere(run, choice):
                yield Breach("selection", group.dataset, run.key, text, group.name)


def _asks_for_test(run: Run) -> bool:
    """Whether a run's own protocol leaves nothing to choose on but the tested fold."""
    return run.fold >= 0 and run.record.resolved.dataset.fold_protocol == "published"


def _thresholds_elsewhere(run: Run, choice: Choice) -> str:
    """How a run's thresholds were not chosen on the validation clips; empty if they were."""
    located = run.record.localization
    point = located.operating_point if located else None
    if point is None:
        return ""
    chosen = point.chosen_on
    if chosen == choice.test:
        return "thresholds were chosen on the test clips"
    if chosen is None:
        return "the record does not say on which clips its thresholds were chosen"
    other = chosen != choice.validation
    return "thresholds were chosen on clips other than the validation clips" if other else ""


def _corpora(results: Results, without_table: tuple[str, ...]) -> Iterator[Breach]:
    for dataset in results.config.datasets:
        if text := _lacking(results, dataset):
            yield Breach("coverage", dataset, dataset, text, bars=False)
        if dataset in without_table:
            continue
        try:
            corpus = open_corpus(results.layout.corpus(dataset))
            if corpus.straddling:
                text = f"the published folds share recordings {', '.join(corpus.straddling)}"
                yield Breach("groups", dataset, dataset, text, bars=False)
            check(corpus)
        except UserError as error:
            text = str(error).removeprefix(f"{dataset}: ")
            yield Breach("groups", dataset, dataset, text)


def _without_table(results: Results) -> tuple[str, ...]:
    layout = results.layout
    tables = {name: layout.corpus_file(name) for name in results.config.datasets}
    return tuple(name for name, path in tables.items() if not path.is_file())


def _lacking(results: Results, dataset: str) -> str:
    """Which listed clips of a data set are not on disk, or cannot be used by some run."""
    groups = [group for group in results.groups.values() if group.dataset == dataset]
    if not groups:
        return ""
    coverage = groups[0].first.coverage
    found, listed = coverage.found, coverage.listed
    excluded = max(group.first.coverage.excluded for group in groups)
    said = []
    if found < listed:
        share = 100 * found / listed
        said.append(f"{found:,} of {listed:,} listed clips are on disk ({share:.1f} %)")
    if excluded:
        of = "of them cannot be used" if said else "clips unusable"
        said.append(f"{excluded:,} {of}")
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
    """Records that the present code, pins or data would not reproduce; named once per group."""
    pins = environment()["pins_sha256"]
    evaluation = stage_digest("evaluate")
    for group in results.groups.values():
        model = group.first.resolved.model
        now = {
            "code_train": model_stage_digest("train", model.architecture),
            "code_evaluate": evaluation,
            "pins": pins,
        }
        features = results.layout.features(group.dataset, model.front_end)
        for name, path in (
            ("data", results.layout.corpus_file(group.dataset)),
            ("features", features / "digest.json"),
        ):
            if path.is_file():
                now[name] = read_json(path)["digest"]
        digests = group.first.digests
        other = [DIGESTS[name] for name, digest in now.items() if getattr(digests, name) != digest]
        if other:
            text = f"made with other {' and '.join(other)} than the present"
            yield Breach("fresh", group.dataset, group.name, text, group.name)
