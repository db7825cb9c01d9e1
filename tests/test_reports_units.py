"""The parts of the report, one by one: what may be averaged, said, bolded and compared."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import factories
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.corpora.base import Corpus
from bench.experiment.config import Config, DataKind, Statistics
from bench.files import UserError, digest_file
from bench.metrics.statistics import fold_interval, t_interval
from bench.reporting import context, overview, token_orders
from bench.reporting.build import build, make_tables
from bench.reporting.latex import FONTS, ROWS_HEIGHT, to_latex
from bench.reporting.leads import bracket, certainty
from bench.reporting.page import render
from bench.reporting.tables import Column, Entry, Row, Table, to_csv, to_markdown
from bench.results import columns, names, published
from bench.results.analysis import Analysis, analyse
from bench.results.checks import ChanceCheck, TrivialCheck
from bench.results.claim import entry_beside
from bench.results.columns import significant
from bench.results.curves import mean_curve
from bench.results.decisions import decide
from bench.results.groups import Group, MixedRecords, Run, group_runs, why_not_comparable
from bench.results.identity import fingerprints
from bench.results.leaders import Standing, standings
from bench.results.record import Record
from bench.results.soundscapes import choose_clips, matched_words
from bench.results.summary import summarise
from bench.results.trained import training_notes
from bench.results.words import sentence

RECIPE = {"epochs": 3, "init": "random", "supervision": "weak"}


def run(
    value: float = 0.5, seed: int = 0, fold: int = -1, recipe: Any = RECIPE, **digests: str
) -> Run:
    """A record with one figure; `digests` replace the usual ones."""
    values = factories.record_values(value, seed, fold)
    values["resolved"] |= {"recipe": recipe, "parent": f"p/m/base/seed{seed}"}
    values["digests"] |= digests
    return Run(Record.model_validate(values), Path("nowhere"))


def group(values: list[float], model: str = "m", **recipe: str) -> Group:
    runs = tuple(run(value, seed, recipe={**RECIPE, **recipe}) for seed, value in enumerate(values))
    return Group("d", model, "base", runs, len(runs))


@given(st.floats(0, 1))
@example(0.0)
@example(0.001)
def test_no_p_value_is_printed_as_zero(p: float) -> None:
    text, words = columns.p_text(p), columns.p_words(p)
    if p < 0.001:
        assert (text, words) == ("< 0.001", "p < 0.001")
    else:
        assert words == f"p = {text}"
        assert float(text) == pytest.approx(p, abs=0.0005 + 1e-12)


def test_every_verdict_prints_p_values_alike() -> None:
    gap = summarise([0.2 + k / 1e6 for k in range(8)])
    assert gap is not None
    (decision,) = decide([gap], 0.3)
    assert decision.words.count("(p < 0.001 after Holm)") == 2
    check = TrivialCheck(group([0.5]), "mAP", "clip_label", gap, gap, gap, decision)
    assert "(p < 0.001 after Holm)" in check.answer
    assert bracket(gap, decision, "mAP") == "(p < 0.001)"
    assert certainty(gap, decision, "mAP").startswith("p < 0.001 ")
    assert "p < 0.001" in published.compare_rank(gap, 0.005).reason


def test_a_study_is_named_in_words(tmp_path: Path) -> None:
    changed = {"models": ["htsat"], "datasets": ["esc50"]}
    studies = {
        key: {**changed, **title, "factors": {"size": {f"of_{key}": {"model": {"window_size": 2}}}}}
        for key, title in (("a_key", {}), ("htsat", {}), ("other", {"title": "size of windows"}))
    }
    config = factories.make_config(tmp_path, ablations=studies)
    found = [names.study_name(config, key) for key in studies]
    assert found == ["a key", names.model_name(config, "htsat"), "size of windows"]
    model, place = found[1], names.short_dataset_name(config, "esc50")
    placed = [names.study_place(config, key, "htsat", "esc50") for key in studies]
    assert placed == [
        f"a key: {model} on {place}",
        f"{model} on {place}",  # the model's name once
        f"size of windows: {model} on {place}",
    ]
    assert sentence("a key") == "A key"
    assert sentence("window_size 2") == "window_size 2"


@pytest.mark.parametrize("kind", get_args(DataKind))
def test_every_kind_of_data_is_told(kind: DataKind) -> None:
    assert names.DATA[kind]
    assert bool(context.BANNERS[kind]) is (kind != "real")


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """One data set of each of two kinds; on one of them the networks' last epochs count."""
    root = tmp_path_factory.mktemp("kinds")
    full = factories.make_config(root).model_dump(mode="json")
    kinds = {"esc50": "real", "speechcommands": "synthetic"}
    last = [f"{model}/speechcommands" for model in ("htsat", "pann")]
    config = factories.make_config(
        root,
        seeds=(0, 1),
        datasets={name: full["datasets"][name] | {"data_kind": kinds[name]} for name in kinds},
        models={name: full["models"][name] for name in ("htsat", "pann", "linear")},
        recipes={"base": full["recipes"]["base"], **{key: {"select": "last"} for key in last}},
        ablations={},
        cost={},
    )
    factories.make_results(config)
    return analyse(config)


def test_a_table_tells_the_kind_of_its_own_data(two_kinds: Analysis) -> None:
    tables = {table.name: table for table in make_tables(two_kinds)}
    told = {"overview": "partly synthetic data", "speechcommands": "synthetic data", "esc50": ""}
    assert {name: tables[name].data for name in told} == told
    assert "data" not in tables["overview"].title
    page = render(two_kinds, list(tables.values()))
    for name in ("ESC-50", "Speech Commands V2-like (synthetic data)"):
        assert f"<h2>{name}</h2>" in page


def test_a_table_tells_what_was_chosen_for_its_own_rows(two_kinds: Analysis) -> None:
    said = {name: context.protocol_sentence(two_kinds, name) for name in two_kinds.config.datasets}
    assert said["esc50"].endswith(
        "Chosen on validation clips, which are not tested: epoch and regularisation."
    )
    networks, baseline = said["speechcommands"].split(". ")
    assert networks.startswith("HTS-AT tiny, PANN-CNN tiny: ")
    assert "validation" not in networks
    assert baseline.startswith("Linear baseline: Chosen on validation clips")
    assert baseline.endswith(": regularisation.")


def test_runs_that_differ_in_seed_and_commit_alone_are_averaged() -> None:
    made = group_runs([run(0.6, 1), run(0.4, 0)])
    assert made.record_keys == ("d/m/base/seed0", "d/m/base/seed1")
    summary = made.summary("mAP")
    assert summary is not None
    expected = t_interval([0.4, 0.6])
    assert (summary.mean, summary.low, summary.high) == pytest.approx(
        (0.5, expected.low, expected.high)
    )
    assert made.figures("mAP", "b") == []


@pytest.mark.parametrize("name", ["code_evaluate", "code_train", "data", "features", "pins"])
def test_records_of_other_code_data_or_pins_are_never_averaged(name: str) -> None:
    other = run(0.6, 1, **{name: "f" * 64})
    words = names.DIGESTS[name]
    with pytest.raises(
        MixedRecords, match=rf"do not share the {words}: d/m/base/seed0 .*seed1 has ffff"
    ):
        group_runs([run(0.4, 0), other])


def test_records_of_another_config_are_never_averaged() -> None:
    one = run(0.4, 0)
    with pytest.raises(MixedRecords, match="do not share the config"):
        group_runs([one, run(0.6, 1, recipe={**RECIPE, "epochs": 4})])


def test_models_on_other_data_are_not_compared() -> None:
    other = Group("d", "n", "base", (run(0.5, 0, data="e" * 64),), 1)
    assert "do not share the data" in str(why_not_comparable([group([0.5]), other]))
    assert why_not_comparable([group([0.5]), group([0.7], "n")]) is None


def test_intervals_over_folds_know_that_folds_share_training_data() -> None:
    made = group_runs([run(v, k, fold=k % 3) for k, v in enumerate([0.5, 0.6, 0.8, 0.7, 0.6, 0.6])])
    summary = made.summary("mAP")
    assert summary is not None
    expected = fold_interval([0.6, 0.6, 0.7], 100 / 300)
    assert (summary.low, summary.high) == pytest.approx((expected.low, expected.high))
    assert summary.n == 6


@pytest.mark.parametrize(
    ("folds", "told"),
    [((0, 1, 2), "3 of 5"), ((-1, -1), "1 of 5"), ((0, 1, 2, 3, 4), ""), ((0, 1, 2, 3, 4, 0), "")],
)
@pytest.mark.parametrize("dataset", ["ESC-50", "ESC-10"])
def test_a_mean_over_some_folds_is_not_the_published_one(
    dataset: str, folds: tuple[int, ...], told: str
) -> None:
    entry = next(e for e in published.load() if e.beside and e.dataset == dataset)
    made = group_runs([run(0.9, seed, fold=fold) for seed, fold in enumerate(folds)])
    found = [f"{told} folds are tested"] if told else []
    assert list(published.untested_folds(made, entry)) == found
    other = next(e for e in published.load() if e.beside and e.dataset == "AudioSet-2M")
    assert list(published.untested_folds(made, other)) == []


def test_one_run_has_no_spread() -> None:
    summary = summarise([0.4])
    assert summary is not None
    assert (summary.mean, summary.sd, summary.low, summary.high) == (0.4, None, None, None)
    assert summarise([]) is None


@pytest.mark.parametrize(
    ("values", "chance", "answer"),
    [
        ([0.50, 0.51, 0.52], 0.1, "yes"),
        ([0.2, 0.5, 0.5], 0.1, "not shown"),
        ([0.20, 0.21, 0.22], 0.1, "no: above chance"),
        ([0.1, 0.1, 0.2], 0.12, "no: not above chance"),
        ([0.99, 1.0, 1.0], 1 / 2, "yes"),  # three times chance would be more than 1
        ([0.97, 0.98, 0.99], 1 / 3, "yes"),
        ([0.60, 0.61, 0.62], 1 / 3, "no: above chance"),
        ([0.61, 0.61, 0.61], 0.2, "yes"),
        ([0.9], 0.1, "not known"),
    ],
)
def test_above_chance_is_answered_in_words(values: list[float], chance: float, answer: str) -> None:
    summary = summarise(values)
    assert summary is not None
    check = ChanceCheck(group(values), "mAP", summary, chance)
    assert check.verdict.startswith(answer)
    assert check.passed == (answer == "yes")


def standing_among(*groups: Group) -> Any:
    """Results of one data set; a model of the name "linear" is a baseline."""
    models = {
        g.model: SimpleNamespace(
            architecture="linear" if g.model == "linear" else "any", title=f"Model {g.model}"
        )
        for g in groups
    }
    config = SimpleNamespace(
        models=models,
        datasets={"d": SimpleNamespace(loader="d", title=None)},
        data_kind=lambda dataset: "real",
        statistics=Statistics(),
    )
    return SimpleNamespace(
        config=config,
        mixed={},
        base_groups=lambda dataset: list(groups),
        is_baseline=lambda model: model == "linear",
    )


def bold(results: Any, dataset: str, metric: str) -> frozenset[str]:
    """The groups whose figures are bold."""
    found = {(dataset, metric): standings(results, dataset, metric)}
    known: Any = SimpleNamespace(mixed=results.mixed, standings=found)
    return Analysis.bold(known, dataset, metric)


def standing(results: Any, dataset: str, metric: str) -> Standing:
    """How models stand that were all trained alike."""
    (found,) = standings(results, dataset, metric)
    return found


def test_models_with_fewer_seeds_are_named(tmp_path: Path) -> None:
    values = factories.make_small_config(tmp_path, seeds=(0, 1, 2)).model_dump(mode="json")
    dataset = next(iter(values["datasets"]))
    assert list(context.fewer_seeds(Config.model_validate(values), dataset)) == []
    values["models"]["htsat"]["seeds_on"] = {dataset: [0, 2]}
    (said,) = context.fewer_seeds(Config.model_validate(values), dataset)
    assert said.startswith("HTS-AT")
    assert "seeds 0, 2" in said


def test_models_trained_otherwise_are_ranked_apart() -> None:
    low = [0.50 + 0.01 * k for k in range(8)]
    weak, better = group(low), group([value + 0.2 for value in low], "better")
    both = group([value + 0.4 for value in low], "both", supervision="both")
    pretrained = group([value + 0.3 for value in low], "pretrained", init="imagenet:swin.pth")
    among = standing_among(weak, both, better, pretrained)
    found = {one.training: [g.model for g, _ in one.ranked] for one in standings(among, "d", "mAP")}
    assert found == {
        "clip labels, from random weights": ["better", "m"],
        "clip labels and time ranges, from random weights": ["both"],
        "clip labels, from ImageNet weights": ["pretrained"],
    }
    assert bold(among, "d", "mAP") == {"d/better/base"}
    (note,) = training_notes(among, "d")
    for model in ("m", "better", "both", "pretrained"):
        assert f"Model {model}" in note
    assert training_notes(standing_among(weak, better), "d") == []


def test_a_model_leads_only_where_it_beats_every_other_one_significantly() -> None:
    low = [0.50 + 0.01 * k for k in range(8)]
    high = group([value + 0.2 for value in low], "h")
    assert bold(standing_among(group(low), high), "d", "mAP") == {"d/h/base"}
    one = standing_among(group(low[:1]), group([v + 0.2 for v in low[:1]], "h"))
    decision = standing(one, "d", "mAP").rivals[0].decision
    assert decision is not None
    assert decision.limit
    assert not bold(one, "d", "mAP")
    assert not bold(standing_among(group(low), group(list(low), "h")), "d", "mAP")
    assert not bold(standing_among(high), "d", "mAP")
    mixed = standing_among(group(low), high)
    mixed.mixed["d"] = "they do not share the data"
    assert not bold(mixed, "d", "mAP")


def corrected(columns: dict[str, list[float]]) -> dict[frozenset[str], float]:
    """Paired t-test of every pair, stepped down by Holm; equal differences have no t."""
    raw = {}
    for one, other in itertools.combinations(columns, 2):
        gaps = np.round(np.subtract(columns[one], columns[other]), 12)
        same = 2 / 2 ** len(gaps) if gaps.any() else 1.0
        p = stats.ttest_1samp(gaps, 0).pvalue if np.ptp(gaps) else same
        raw[frozenset((one, other))] = float(p)
    steps, worst = {}, 0.0
    for rank, pair in enumerate(sorted(raw, key=raw.__getitem__)):
        worst = max(worst, min(1, (len(raw) - rank) * raw[pair]))
        steps[pair] = worst
    return steps


@given(
    st.lists(st.integers(0, 30), min_size=3, max_size=3, unique=True),
    st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_who_leads_equals_scipy(levels: list[int], noise: list[list[int]]) -> None:
    columns = {
        name: [(level + n) / 64 for n in own]
        for name, level, own in zip("abc", levels, noise, strict=True)
    }
    found = standing(standing_among(*(group(v, name) for name, v in columns.items())), "d", "mAP")
    best, p = found.best.model, corrected(columns)
    assert np.mean(columns[best]) == max(map(np.mean, columns.values()))
    for rival in found.rivals:
        assert rival.decision is not None
        assert rival.decision.p_holm == pytest.approx(p[frozenset((best, rival.group.model))])
    others = [name for name in columns if name != best]
    wins = [p[frozenset((best, o))] < 0.05 and sum(columns[best]) > sum(columns[o]) for o in others]
    assert found.leads == all(wins)


def test_a_lead_over_the_second_alone_is_none() -> None:
    """Three models: p = 2 / 256 before Holm for two pairs, no difference to the third."""
    low = [0.50 + 0.01 * k for k in range(8)]
    best = [value + 0.2 for value in low]
    near = [v + (0.01 if k % 2 else -0.011) for k, v in enumerate(best)]
    found = standing(standing_among(group(low), group(best, "h"), group(near, "n")), "d", "mAP")
    assert found.best.model == "h"
    assert [(rival.group.model, rival.beaten) for rival in found.rivals] == [
        ("n", False),
        ("m", True),
    ]
    assert not found.leads


def test_a_baseline_that_is_not_below_the_best_model_takes_the_bold_away() -> None:
    low = [0.50 + 0.01 * k for k in range(8)]
    high = group([value + 0.2 for value in low], "h")
    above = group([value + 0.3 for value in low], "linear")
    found = standing(standing_among(group(low), high, above), "d", "mAP")
    assert found.leads
    assert found.above == ("linear",)
    assert not bold(standing_among(group(low), high, above), "d", "mAP")


@pytest.mark.parametrize(
    ("values", "reasons", "kind"),
    [
        ([0.470, 0.471, 0.472], [], "reproduced"),
        ([0.500, 0.501, 0.502], [], "better"),
        ([0.400, 0.401, 0.402], [], "below"),
        ([0.40, 0.47, 0.54], [], "inconclusive"),
        ([0.471], [], "inconclusive"),
        ([0.470, 0.471, 0.472], ["synthetic data"], "not comparable"),
    ],
)
def test_verdicts_beside_a_published_value(
    values: list[float], reasons: list[str], kind: str
) -> None:
    verdict = published.compare(values, 0.471, 0.005, reasons)
    assert verdict.kind == kind
    assert all(reason in verdict.reason for reason in reasons)


def test_published_figures_have_a_source_a_protocol_and_one_place() -> None:
    entries = published.load()
    assert sum(len(entry.figures) for entry in entries) == 478
    assert all(entry.source and entry.protocol and entry.figures for entry in entries)
    places = [(entry.dataset, entry.beside) for entry in entries if entry.beside]
    assert len(places) == len(set(places)) == 21
    known = fingerprints()
    assert {data for data, _ in places} == set(known.data)
    assert {network for _, network in places} == set(known.networks)
    table3 = entry_beside("htsat", "DESED-public-eval")
    by_class = [table3.figure("intersection_f1", c) for c in factories.CLASSES["desed"]]
    assert np.mean([v for v in by_class if v is not None]) == pytest.approx(
        table3.figure("intersection_f1"), abs=5e-4
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0012349, "0.00123"), (12.349, "12.3"), (1234.9, "1,230"), (0.9996, "1.00"), (0, "0")],
)
def test_significant_digits_without_exponents(value: float, text: str) -> None:
    assert significant(value) == text


def test_thousands_have_a_comma_for_people_and_none_for_programs() -> None:
    clips = Column("clips", "clips", 0)
    assert (clips.text(20480), clips.text(-1e6), clips.text(999.4)) == (
        "20,480",
        "−1,000,000",
        "999",
    )
    assert significant(13029.4) == "13,000"
    row = Row("A", {"clips": Entry(20480.0)})
    table = Table("some", "Some", "Some.", [clips], [row])
    assert "| 20,480 |" in to_markdown(table)
    assert "20,480" in to_latex(table)
    assert "20480.0" in to_csv(table)


def test_a_table_says_the_same_in_every_form() -> None:
    summary = summarise([0.4, 0.6])
    wide = Table(
        "t",
        "A table",
        "Ten % of _everything_",
        [Column("f1_percent", "F1 (%)", 1, 100.0), Column("why", "why", words=True)],
        [
            Row(
                "A & B",
                {"f1_percent": Entry.of(summary, best=True)},
                ("d/a/base/seed0",),
                "d/a/base",
            ),
            Row("C|D", {"f1_percent": Entry(words="cannot localize"), "why": Entry(words="x, y")}),
        ],
        notes=["a note"],
    )
    latex_text, markdown, frame = to_latex(wide), to_markdown(wide), to_csv(wide)
    assert r"A \& B & \textbf{50.0 $\pm$ 14.1} & -- \tabularnewline" in latex_text
    assert "% records: d/a/base/seed0" in latex_text
    assert r"Ten \% of \_everything\_" in latex_text
    assert "| A & B | **50.0 ± 14.1** | – |" in markdown
    assert r"| C\|D | cannot localize | x, y |" in markdown
    assert frame.splitlines()[1].startswith(",A & B,50.0,14.1421")
    assert frame.splitlines()[2] == ',C|D,,,,,,"x, y",cannot localize,'


def test_means_stand_below_each_other_in_latex() -> None:
    spreads = [summarise([0.4, 0.6]), summarise([0.49, 0.51]), summarise([0.5])]
    rows = [Row(f"row {k}", {"f": Entry.of(summary)}) for k, summary in enumerate(spreads)]
    text = to_latex(Table("t", "A table", "", [Column("f", "F1 (%)", 1, 100.0)], rows))
    assert r"& 50.0 $\pm$ 14.1 \tabularnewline" in text
    assert r"& 50.0 $\pm$ \phantom{0}1.4 \tabularnewline" in text
    assert r"& 50.0\phantom{ $\pm$ 14.1} \tabularnewline" in text


def test_an_estimator_without_parameters_has_no_number_of_them() -> None:
    one = group([0.5])
    records = [replace(r, record=r.record.model_copy(update={"parameters": 0})) for r in one.runs]
    assert one.parameters == 1
    assert replace(one, runs=tuple(records)).parameters is None


def test_columns_stand_apart_where_a_page_has_room() -> None:
    def gap(columns: int) -> str:
        shown = [Column(f"f{k}", f"heading {k}") for k in range(columns)]
        row = Row("row", {column.key: Entry(0.5) for column in shown})
        return to_latex(Table("t", "A table", "", shown, [row])).split(r"\tabcolsep}{")[1][:3]

    assert gap(2) == "6pt"
    assert gap(10) == "4pt"  # what 465 points leave
    assert gap(11) == "3pt"  # small print


def test_every_part_of_a_long_table_fits_its_page() -> None:
    rows = [Row(f"row {k}", {"f": Entry(0.5)}, section=f"section {k // 60}") for k in range(130)]
    text = to_latex(Table("t", "A table", "Long", [Column("f", "F1")], rows))
    parts = text.split(r"\begin{table}")[1:]  # it fits one column
    lines = [part.count(r"\tabularnewline") + 2 * part.count(r"\multicolumn") for part in parts]
    assert sum(part.count(r"\tabularnewline") for part in parts) == len(rows)
    assert all(r"\multicolumn" in part for part in parts)
    assert max(lines) == ROWS_HEIGHT // FONTS[0].line


def test_latex_leaves_out_a_column_that_holds_nothing() -> None:
    columns = [Column("f", "F1"), Column("energy", "energy")]
    without = Table("t", "A table", "", columns, [Row("A", {"f": Entry(0.5)})])
    assert "energy" not in to_latex(without)
    assert ",energy," in to_csv(without).splitlines()[0]
    measured = Row("B", {"energy": Entry(1.0)})
    assert "energy" in to_latex(replace(without, rows=[measured]))


def test_the_pictured_soundscape_is_the_busiest_with_two_classes() -> None:
    events = [
        ("train.wav", 0.0, 1.0, "a"), ("train.wav", 0.0, 1.0, "b"), ("train.wav", 2.0, 3.0, "b"),
        ("one.wav", 0.0, 1.0, "a"), ("one.wav", 2.0, 3.0, "a"), ("one.wav", 4.0, 5.0, "a"),
        ("z.wav", 0.0, 1.0, "a"), ("z.wav", 0.0, 1.0, "b"),
        ("b.wav", 0.0, 1.0, "a"), ("b.wav", 0.0, 1.0, "b"),
    ]  # fmt: skip
    table = pd.DataFrame(events, columns=["filename", "onset", "offset", "event_label"])
    clips = pd.DataFrame({"clip": ["train.wav", "one.wav", "z.wav", "b.wav"]})
    clips["split"] = ["train", "test", "test", "test"]
    corpus = Corpus("d", Path(), ("a", "b"), clips, table, True, True, clips.iloc[:0])
    tested = {"one.wav", "z.wav", "b.wav"}
    assert choose_clips(corpus, tested, 1) == ["b.wav"]
    assert choose_clips(corpus, tested - {"b.wav"}) == ["z.wav", "one.wav"]


def test_training_times_are_summed_over_every_task_that_a_model_is_declared_on() -> None:
    analysis: Any = SimpleNamespace(
        config=SimpleNamespace(
            datasets={"a": None, "b": None}, models_on=lambda d: ["m"] if d == "b" else ["m", "few"]
        ),
        group=lambda d, _: SimpleNamespace(cost=lambda _: summarise([2.0])) if d == "a" else None,
    )
    assert overview._hours(analysis, "m") is None
    assert overview._hours(analysis, "few") == 2.0


def test_curves_average_the_epochs_that_every_run_has(tmp_path: Path) -> None:
    runs = []
    for seed, values in enumerate([[0.1, 0.2, 0.3], [0.3, 0.4]]):
        folder = tmp_path / str(seed)
        folder.mkdir()
        lines = [f'{{"epoch": {e + 1}, "validation_mAP": {v}}}' for e, v in enumerate(values)]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        made = run(seed=seed)
        files = {"metrics.jsonl": digest_file(folder / "metrics.jsonl")}
        runs.append(
            replace(made, record=made.record.model_copy(update={"files": files}), folder=folder)
        )
    curve = mean_curve(Group("d", "m", "base", tuple(runs), 2), "validation_mAP")
    assert curve.epochs.tolist() == [1, 2]
    assert curve.mean == pytest.approx([0.2, 0.3])
    assert curve.std == pytest.approx([np.std([0.1, 0.3], ddof=1)] * 2)
    shutil.copy(tmp_path / "0" / "metrics.jsonl", tmp_path / "1" / "metrics.jsonl")
    with pytest.raises(UserError, match=r"1/metrics\.jsonl: not the file that its record"):
        mean_curve(Group("d", "m", "base", tuple(runs), 2), "validation_mAP")


def test_an_experiment_without_any_record_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record of experiment 'default'"):
        build(factories.make_config(tmp_path))


def test_the_report_starts_without_torch_or_plotting() -> None:
    code = (
        "import sys, bench.reporting.build\n"
        "print('HEAVY', sorted({'torch', 'timm', 'matplotlib', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=factories.ROOT, capture_output=True, text=True, check=True
    )
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("order", token_orders.ORDERS)
def test_the_pictured_token_order_is_the_models(order: str) -> None:
    from htsat.fold import Fold, token_order

    fold = Fold(token_orders.WINDOWS, 64, 256, patch=4, merge=8)
    assert token_orders.grid(order).flatten().tolist() == token_order(order, fold).tolist()


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0004, "0.000"), (0.0, "0.000"), (-0.0006, "−0.001"), (0.0006, "+0.001")]
)
def test_what_rounds_to_zero_has_no_sign(value: float, text: str) -> None:
    assert Column("d", "d", 3, signed=True).text(value) == text


@pytest.mark.parametrize(
    ("hours", "key", "shown"),
    [
        ([0.01, 0.005], "training_seconds", "36.0"),
        ([0.5], "training_minutes", "30.0"),
        ([80.0, 600.0], "training_hours", "80.0"),
    ],
)
def test_times_come_in_the_unit_that_fits(hours: list[float], key: str, shown: str) -> None:
    column = columns.time_column("training", "training", hours)
    assert (column.key, column.text(hours[0])) == (key, shown)


def test_memory_comes_in_the_unit_that_fits() -> None:
    assert columns.memory_column("peak", "peak", [600.0]).key == "peak_MB"
    large = columns.memory_column("peak", "peak", [600.0, 24_000.0])
    assert (large.key, large.text(24_000.0)) == ("peak_GB", "24.0")


def test_every_share_is_in_percent_with_one_decimal() -> None:
    for metric in names.METRICS:
        column = columns.metric_column(metric)
        assert (column.scale == 100) is (metric not in ("mAUC", "d_prime"))
        assert column.text(0.4712) == ("47.1" if column.scale == 100 else "0.471")


@pytest.mark.parametrize(
    ("preset", "name"), [("tiny", "HTS-AT tiny"), ("paper", "HTS-AT"), (None, "HTS-AT")]
)
def test_a_name_says_a_size_that_is_not_the_published_one(preset: str | None, name: str) -> None:
    arguments = {} if preset is None else {"preset": preset}
    assert names.network_name("htsat", "htsat", arguments) == name
    assert names.network_name("mine", "htsat", arguments) == "mine"


def test_the_events_of_a_clip_are_correct_false_or_missed() -> None:
    def table(*events: tuple[float, float, str]) -> pd.DataFrame:
        rows = [("c.wav", *event) for event in events]
        return pd.DataFrame(rows, columns=["filename", "onset", "offset", "event_label"])

    truth = table((0.0, 1.0, "a"), (2.0, 3.0, "b"), (4.0, 5.0, "b"))
    found = table((0.1, 1.0, "a"), (2.0, 3.0, "a"), (4.0, 4.9, "b"))
    assert matched_words(found, truth, 5.0, ("a", "b")) == "2 correct, 1 false, 1 missed"
    assert matched_words(table(), truth, 5.0, ("a", "b")) == "0 correct, 0 false, 3 missed"
