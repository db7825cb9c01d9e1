"""The tables of checks: protocol, recipes, chance, events without times, intervals, comparisons."""

from __future__ import annotations

from bench.experiment.ablations import BASE
from bench.metrics.statistics import Interval
from bench.reporting import context
from bench.reporting.tables import DIFFERENCE, Column, Entry, Row, Table, p_values
from bench.results.analysis import Analysis
from bench.results.audit import NEEDS_TABLE, RULES
from bench.results.checks import HALF_WAY, LARGE_CHANCE, TIMES_CHANCE, TRIVIAL, TrivialCheck
from bench.results.columns import metric_column, p_column
from bench.results.comparisons import Paired
from bench.results.groups import Group
from bench.results.intervals import FigureInterval
from bench.results.names import METRICS, model_name, short_dataset_name, variant_name
from bench.results.trained import training_notes

MEAN = Column("mean", "mean", 1)


def audit_table(analysis: Analysis) -> Table:
    """A row per rule: kept, unknown, or what broke it."""
    found, rows = analysis.breaches, []
    for rule, meaning in RULES.items():
        places: dict[str, list[str]] = {}
        for breach in found:
            if breach.rule == rule:
                places.setdefault(breach.text, []).append(breach.where)
        gone = list(analysis.without_table) if rule in NEEDS_TABLE else []
        if gone:
            places["not known, because the corpus table no longer exists"] = gone
        answer = "; ".join(f"{text}: {', '.join(where)}" for text, where in places.items())
        rows.append(Row(meaning, {"answer": Entry(words=answer or "kept")}))
    return Table(
        name="protocol",
        title="Protocol checks",
        caption="Each rule checked against the scored clips, the corpus tables and the records.",
        data=context.data_words(analysis.config),
        columns=[Column("answer", "answer", words=True)],
        rows=rows,
        head="Rule",
    )


def tuning_table(analysis: Analysis) -> Table:
    """A row per model, a section per data set."""
    config = analysis.config
    groups = [group for dataset in config.datasets for group in analysis.base_groups(dataset)]
    return Table(
        name="recipes",
        title="How each recipe was chosen",
        caption=(
            "How the recipe of each model was chosen; "
            f"{config.tuning.trials} trials on validation data are declared for each."
        ),
        data=context.data_words(config),
        columns=[
            Column("chosen", "how chosen", words=True),
            Column("trials", "trials", 0),
            Column("best_percent", "best on validation (%)", 1, 100.0),
            Column("learning_rate", "learning rate", 2, significant=True),
            Column("epochs", "epochs", 0),
        ],
        rows=[_tuning_row(analysis, group) for group in groups],
        notes=[
            "Every model gets the same number of trials on validation data; `snakemake tune` makes "
            f"them, and {config.paths.tuning}/{config.experiment} records each. A model without "
            "trials of its own may inherit values that the trials of another experiment chose. "
            "What no trial decided was set by hand."
        ],
    )


def _tuning_row(analysis: Analysis, group: Group) -> Row:
    tuned, recipe = analysis.tunings[group.name], group.first.resolved.recipe
    entries = {"chosen": Entry(words=tuned.words)}
    if not analysis.is_baseline(group.model):
        entries |= {
            "trials": Entry(float(tuned.count)),
            "best_percent": Entry(tuned.trials.best.value if tuned.trials else None),
            "learning_rate": Entry(recipe.learning_rate),
            "epochs": Entry(float(recipe.epochs)),
        }
    return Row(
        model_name(analysis.config, group.model),
        entries,
        group.record_keys,
        group.name,
        short_dataset_name(analysis.config, group.dataset),
    )


def chance_table(analysis: Analysis) -> Table:
    """Every check, a section per task."""
    return Table(
        name="chance",
        title="Above chance",
        caption=(
            f"Is the lower end of the 95 % interval at least {TIMES_CHANCE} times chance, or "
            f"{HALF_WAY} where chance is above {100 * LARGE_CHANCE:g} %?"
        ),
        data=context.data_words(analysis.config),
        columns=[
            Column("figure_percent", "figure (%)", 1, 100.0),
            Column("lower_bound_percent", "lower bound (%)", 1, 100.0),
            Column("chance_percent", "chance (%)", 1, 100.0),
            Column("answer", "answer", words=True),
        ],
        rows=[
            Row(
                model_name(analysis.config, check.group.model),
                {
                    "figure_percent": Entry.of(check.figure),
                    "lower_bound_percent": Entry(check.figure.low),
                    "chance_percent": Entry(check.chance),
                    "answer": Entry(words=check.verdict),
                },
                check.group.record_keys,
                check.group.name,
                f"{short_dataset_name(analysis.config, check.group.dataset)}, "
                f"{METRICS[check.metric]}",
            )
            for check in analysis.chance
        ],
        notes=[context.seeds_sentence(analysis)],
        reading=context.reading(),
    )


def trivial_table(analysis: Analysis) -> Table:
    """Every check, a section per metric."""
    located = [d for d, settings in analysis.config.datasets.items() if settings.localize]
    return Table(
        name="without_times",
        title="Event times against time-free baselines",
        caption="Are predicted event times better than those of time-free baselines?",
        data=context.data_words(analysis.config, located),
        columns=[
            Column("against", "against", words=True),
            Column("model_percent", "model (%)", 1, 100.0),
            Column("baseline_percent", "baseline (%)", 1, 100.0),
            DIFFERENCE,
            Column("interval", "95 % interval", words=True),
            Column("answer", "answer", words=True),
        ],
        rows=[
            _trivial_row(analysis, c)
            for c in sorted(analysis.trivial, key=lambda c: c.metric, reverse=True)
        ],
        notes=[
            "Differences are paired by run; paired t-tests, corrected by Holm over a section; "
            f"intervals exclude 0 exactly where p is below 0.05. {context.seeds_sentence(analysis)}"
        ],
        reading=context.reading(),
    )


def _trivial_row(analysis: Analysis, check: TrivialCheck) -> Row:
    entries = {
        "against": Entry(words=TRIVIAL[check.baseline]),
        "model_percent": Entry.of(check.figure),
        "baseline_percent": Entry.of(check.trivial),
        DIFFERENCE.key: Entry.of(check.difference),
        "interval": Entry(words=DIFFERENCE.interval(check.difference)),
        "answer": Entry(words=check.answer),
    }
    return Row(
        model_name(analysis.config, check.group.model),
        entries,
        check.group.record_keys,
        check.group.name,
        f"{short_dataset_name(analysis.config, check.group.dataset)}, {METRICS[check.metric]}",
    )


def interval_table(analysis: Analysis) -> Table:
    """A row per figure; a section per data set and metric."""
    return Table(
        name="intervals",
        title="Intervals of every figure",
        caption="Every test figure with two 95 % intervals.",
        data=context.data_words(analysis.config),
        notes=[
            "New seeds: Student's t-interval of the mean, what other seeds on this test set would "
            "give (with folds, corrected for shared training data). New seeds and new clips: "
            "the same, widened by the share of the variance that a bootstrap over recordings "
            f"attributes to the clips that runs share. {context.seeds_sentence(analysis)}"
        ],
        reading=context.reading(),
        columns=[
            MEAN,
            Column("seeds", "new seeds (t)", words=True),
            Column("seeds_and_clips", "new seeds and clips (bootstrap)", words=True),
            Column("bootstrap_low", "bootstrap low", 1, csv_only=True),
            Column("bootstrap_high", "bootstrap high", 1, csv_only=True),
            Column("runs", "runs", 0),
        ],
        rows=[_interval_row(analysis, one) for one in analysis.intervals],
    )


def _interval_row(analysis: Analysis, one: FigureInterval) -> Row:
    config, group, found = analysis.config, one.group, one.interval
    unit = metric_column(one.metric)
    entries = {
        "mean": Entry.of(one.summary, unit=unit),
        "seeds": Entry(words=unit.interval(one.summary)),
        "seeds_and_clips": Entry(words=f"none: {one.problem}"),
        "runs": Entry(float(one.summary.n)),
    }
    if found:
        entries |= _bootstrapped("seeds_and_clips", found, unit)
    label = model_name(config, group.model)
    if group.variant != BASE:
        label = variant_name(config, group.model, group.variant)
    section = f"{short_dataset_name(config, group.dataset)}, {unit.title}"
    return Row(label, entries, group.record_keys, group.name, section)


def _bootstrapped(key: str, found: Interval, unit: Column) -> dict[str, Entry]:
    """The cells of an interval for new seeds and new clips; one run's says that it lacks seeds."""
    low, high = (unit.text(bound).removeprefix("+") for bound in (found.low, found.high))
    lacking = "" if found.n > 1 else f" ({found.covers} only)"
    return {
        key: Entry(words=f"[{low}, {high}]{lacking}"),
        "bootstrap_low": Entry(found.low, unit=unit),
        "bootstrap_high": Entry(found.high, unit=unit),
    }


def comparison_table(analysis: Analysis) -> Table:
    """A row per comparison, a section per family."""
    return Table(
        name="comparisons",
        title="Paired comparisons",
        caption="Differences paired by seed and fold.",
        data=context.data_words(analysis.config),
        columns=[
            DIFFERENCE,
            Column("interval", "95 % interval", words=True),
            Column("effect_size_d", "d", 2, signed=True),
            p_column("p", "p"),
            p_column("p_holm", "p (Holm)"),
            p_column("p_sign_flip", "sign-flip p", in_latex=False),
            Column("detectable_points", "detectable (points)", 1, 100.0, short="det. (points)"),
            Column("new_clips", "new seeds and clips", words=True, in_latex=False),
            Column("bootstrap_low", "bootstrap low", 3, csv_only=True),
            Column("bootstrap_high", "bootstrap high", 3, csv_only=True),
            Column("pairs", "pairs", 0, in_latex=False),
            p_column("p_equivalence", "p (equal)"),
            Column("conclusion", "conclusion", words=True),
        ],
        rows=[_comparison_row(one) for one in analysis.comparisons],
        head="Comparison",
        notes=[
            "p: two-sided paired t-test; p (Holm): corrected over the section, as equivalence is; "
            "the interval for new seeds excludes 0 exactly where it is below 0.05. Sign-flip p: "
            "the exact sign-flip test, which does not assume normal differences; shown for "
            "sensitivity only. d: mean difference over its standard deviation; detectable: the "
            "difference that the test finds with 80 % power. New seeds and clips: recordings "
            "are resampled as well, at the same level. "
            f"p (equal): p-value of the two one-sided tests of equivalence, margin "
            f"±{_margins(analysis)}. "
            f"{context.seeds_sentence(analysis)}",
            *(note for d in analysis.config.datasets for note in training_notes(analysis, d)),
        ],
        reading=context.reading(),
    )


def _margins(analysis: Analysis) -> str:
    """The margins of equivalence: 0.5 points (mAP), ±2 points (intersection F1)."""
    margins = analysis.config.statistics.margins.items()
    said = [f"{100 * margin:g} points ({METRICS[metric]})" for metric, margin in margins]
    return ", ±".join(said) or "0 (no margin is declared)"


def _comparison_row(one: Paired) -> Row:
    decision, new = one.decision, one.new_clips

    def finite(value: float | None) -> Entry:
        known = value is not None and abs(value) < float("inf")
        return Entry(value) if known else Entry(words="not defined")

    entries = {
        DIFFERENCE.key: Entry.of(one.difference),
        "interval": Entry(words=DIFFERENCE.interval(one.difference)),
        "effect_size_d": finite(one.effect_size),
        **p_values(decision),
        "detectable_points": finite(decision.detectable),
        "new_clips": Entry(words="none"),
        "pairs": Entry(float(decision.pairs)),
        "p_equivalence": Entry() if decision.limit else finite(decision.equivalence_p),
        "conclusion": Entry(words=one.conclusion),
    }
    if new:
        entries |= _bootstrapped("new_clips", new, DIFFERENCE)
    return Row(
        one.label,
        entries,
        tuple(key for group in one.groups for key in group.record_keys),
        one.groups[0].name,
        one.family,
    )
