"""Questions that the report answers for every model and task, in words and as tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.metrics.statistics import holm, limit_of, sign_flip_p
from bench.reporting import context
from bench.reporting.ablations import DIFFERENCE
from bench.reporting.leaders import ALPHA
from bench.reporting.names import METRICS, model_name, short_dataset_name
from bench.reporting.results import Group, Results, is_baseline
from bench.reporting.summary import Summary, summarise
from bench.reporting.tables import Column, Entry, Row, Table

TIMES_CHANCE = 3
TRIVIAL = {
    "clip_label": "its clip labels over the whole clip",
    "always_active": "every class always active",
}


@dataclass(frozen=True)
class ChanceCheck:
    """Whether the lower 95 % bound of a clip-level figure is three times chance."""

    group: Group
    metric: str
    figure: Summary
    chance: float

    @property
    def passed(self) -> bool:
        return self.figure.low is not None and self.figure.low >= TIMES_CHANCE * self.chance

    @property
    def verdict(self) -> str:
        """The answer, with the reason where it is no."""
        times = f"{TIMES_CHANCE} times chance"
        if self.passed:
            return f"yes: at least {times}"
        if TIMES_CHANCE * self.chance > 1:
            return f"cannot be: {times} is more than 1"
        if self.figure.low is None:
            return "not known: one run has no interval"
        if self.figure.mean >= TIMES_CHANCE * self.chance:
            return f"not shown: the mean is {times}, its lower bound is not"
        above = self.figure.low > self.chance
        return f"no: above chance, but below {times}" if above else "no: not above chance"


def chance_checks(results: Results) -> list[ChanceCheck]:
    """Every model (baselines included) on every task, by a clip-level figure that has a chance."""
    found = []
    for dataset, settings in results.config.datasets.items():
        metric = "mAP" if settings.loss == "bce" else "accuracy"
        for group in results.base_groups(dataset):
            figure, chance = group.summary(metric), group.chance(metric)
            if figure is not None and chance is not None:
                found.append(ChanceCheck(group, metric, figure, chance))
    return found


def chance_table(results: Results, checks: list[ChanceCheck]) -> Table:
    """Every check, a section per task."""
    return Table(
        name="chance",
        title=f"Above chance ({context.data_words(results)})",
        caption=(
            f"Is the lower end of the 95 % interval at least {TIMES_CHANCE} times chance, on "
            f"{context.data_words(results)}? Accuracy as a fraction of 1, like mAP. "
            f"{context.seeds_sentence(results)} {context.SPREAD}"
        ),
        columns=[
            Column("figure", "figure", 3),
            Column("lower_bound", "lower bound", 3),
            Column("chance", "chance", 3),
            Column("answer", "answer", words=True),
        ],
        rows=[
            Row(
                model_name(results.config, check.group.model),
                {
                    "figure": Entry.of(check.figure),
                    "lower_bound": Entry(check.figure.low),
                    "chance": Entry(check.chance),
                    "answer": Entry(words=check.verdict),
                },
                check.group.record_keys,
                check.group.name,
                f"{short_dataset_name(results.config, check.group.dataset)}, "
                f"{METRICS[check.metric]}",
            )
            for check in checks
        ],
    )


def chance_sentence(results: Results, checks: list[ChanceCheck]) -> str:
    """The checks of the models (the linear baseline is left out) in one or two sentences."""
    models = [check for check in checks if not is_baseline(results, check.group.model)]
    failed = [check for check in models if not check.passed]
    passed = len(models) - len(failed)
    text = (
        f"The lower 95 % bound is at least {TIMES_CHANCE} times chance in {passed} of "
        f"{len(models)} pairs of model and task."
    )
    if not failed:
        return text
    by_task: dict[str, list[str]] = {}
    for check in failed:
        task = short_dataset_name(results.config, check.group.dataset)
        by_task.setdefault(task, []).append(model_name(results.config, check.group.model))
    named = "; ".join(f"{', '.join(models)} on {task}" for task, models in by_task.items())
    return f"{text} Not for {named}. Figures and bounds: table “Above chance”."


@dataclass(frozen=True)
class TrivialCheck:
    """A localizing model beside a baseline that hears no times, paired by run."""

    group: Group
    metric: str
    baseline: str
    figure: Summary
    trivial: Summary
    difference: Summary
    p_holm: float = 1.0
    limit: str | None = None

    @property
    def verdict(self) -> str:
        """What the corrected test says; only which mean is higher where it could say nothing."""
        above = self.difference.mean > 0
        if self.p_holm <= ALPHA:
            return "better" if above else "worse"
        if self.limit:
            return "higher" if above else "lower"
        return "not told apart"

    @property
    def answer(self) -> str:
        """The verdict with its p, or with why no test decides."""
        if self.limit:
            return f"{self.verdict} mean; {self.limit}"
        return f"{self.verdict} (p = {self.p_holm:.2g} after Holm)"


def trivial_checks(results: Results) -> list[TrivialCheck]:
    """Each localizing model against both trivial baselines, by intersection and by collars.

    The checks of one data set in one metric are a family.
    """
    found = []
    for dataset, settings in results.config.datasets.items():
        for metric in ("intersection_f1", "event_based_f1") if settings.localize else ():
            checks = [
                check
                for group in results.base_groups(dataset)
                for baseline in TRIVIAL
                if (check := _trivial_check(group, metric, baseline))
            ]
            raw = [sign_flip_p(check.difference.values) for check in checks]
            for check, p in zip(checks, holm(raw) if raw else (), strict=True):
                limit = limit_of(check.difference.n, len(checks), ALPHA)
                found.append(replace(check, p_holm=float(p), limit=limit))
    return found


def _trivial_check(group: Group, metric: str, baseline: str) -> TrivialCheck | None:
    values, trivial = group.figures(metric), group.trivial(baseline, metric)
    if not values or len(values) != len(trivial):
        return None
    difference = summarise([a - b for a, b in zip(values, trivial, strict=True)])
    figure, beside = summarise(values), summarise(trivial)
    assert figure is not None
    assert beside is not None
    assert difference is not None
    return TrivialCheck(group, metric, baseline, figure, beside, difference)


def trivial_table(results: Results, checks: list[TrivialCheck]) -> Table:
    """Every check, a section per metric."""
    return Table(
        name="without_times",
        title=f"Better than baselines without times ({context.data_words(results)})",
        caption=(
            "Does a model locate events better than what needs no times, on "
            f"{context.data_words(results)}? Differences are paired by run; exact sign-flip tests, "
            "corrected by Holm over a section. "
            f"{context.seeds_sentence(results)} {context.SPREAD}"
        ),
        columns=[
            Column("against", "against", words=True),
            Column("model_percent", "model (%)", 1, 100.0),
            Column("baseline_percent", "baseline (%)", 1, 100.0),
            DIFFERENCE,
            Column("interval", "95 % interval", words=True),
            Column("answer", "answer", words=True),
        ],
        rows=[
            _trivial_row(results, c) for c in sorted(checks, key=lambda c: c.metric, reverse=True)
        ],
    )


def _trivial_row(results: Results, check: TrivialCheck) -> Row:
    entries = {
        "against": Entry(words=TRIVIAL[check.baseline]),
        "model_percent": Entry.of(check.figure),
        "baseline_percent": Entry.of(check.trivial),
        DIFFERENCE.key: Entry.of(check.difference),
        "interval": Entry(words=DIFFERENCE.interval(check.difference)),
        "answer": Entry(words=check.answer),
    }
    return Row(
        model_name(results.config, check.group.model),
        entries,
        check.group.record_keys,
        check.group.name,
        f"{short_dataset_name(results.config, check.group.dataset)}, {METRICS[check.metric]}",
    )
