"""The headlines of the report say what the corrected tests say, of whom, and who is absent."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pandas as pd
import pytest

from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import Config
from bench.figures.drawing import WIDTH, legend_above, new_figure
from bench.reporting.build import build
from bench.reporting.findings import findings
from bench.reporting.leads import Finding, task_findings
from bench.results.analysis import analyse
from bench.results.leaders import UNRANKED
from bench.results.words import sentence

PLUGINS = Path(__file__).resolve().parent / "plugins"
SEEDS = tuple(range(8))  # enough for six comparisons
TOY = {"title": "Toy net", "architecture": "toy_model:ToyNet", "front_end": "logmel"}
WIDER = {
    "models": ["toy"],
    "datasets": ["desed"],
    "factors": {"width": {"wide": {"why": "twice as wide", "model": {"width": 16}}}},
}


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of four models on one data set, the fourth a plug-in, with an ablation of it."""
    root = tmp_path_factory.mktemp("plugged")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGINS))
        patch.setitem(factories.SKILL, "toy", 2.6)
        factories.make_results(experiment(root))
    return root


@pytest.fixture
def config(plugged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A copy that a test may break."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    shutil.copytree(plugged, tmp_path, dirs_exist_ok=True)
    return experiment(tmp_path)


def experiment(root: Path, seeds: tuple[int, ...] = SEEDS, **changes: Any) -> Config:
    full = factories.make_config(root).model_dump(mode="json")
    return factories.make_config(
        root,
        seeds=seeds,
        datasets={"desed": full["datasets"]["desed"]},
        models={**full["models"], "toy": TOY},
        recipes={"base": full["recipes"]["base"]},
        ablations={"width": WIDER},
        localization={"median_filters": [1], "thresholds": 9},
        cost={},
        **changes,
    )


def said(config: Config) -> list[Finding]:
    """Those of the first screen, then those of the task."""
    analysis = analyse(config)
    shown = findings(analysis)
    assert 3 <= len(shown) <= 5
    return [*shown, *task_findings(analysis, "desed")]


def titled(found: list[Finding], start: str) -> Finding:
    (one,) = [finding for finding in found if finding.title.startswith(start)]
    return one


def bold_labels(config: Config) -> set[str]:
    """The rows of the data set's Markdown table with a bold figure."""
    text = (Layout.of(config).report / "tables" / "desed.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|") and "± " in line]
    return {row.split("|")[1].strip() for row in rows if "**" in row}


def table(config: Config, name: str) -> pd.DataFrame:
    return pd.read_csv(Layout.of(config).report / "tables" / f"{name}.csv")


def test_headline_bold_and_tests_agree_and_a_plug_in_is_one_of_the_models(config: Config) -> None:
    page = build(config).read_text(encoding="utf-8")
    found = said(config)
    assert titled(found, "DESED-like").title == "DESED-like: Toy net leads"
    assert "<h3>DESED-like: Toy net leads</h3>" in page
    assert bold_labels(config) == {"Toy net"}
    pairs = table(config, "comparisons").set_index("comparison")
    models = pairs[pairs["section"] == "Models on DESED-like, intersection F1"]
    assert len(models) == 3  # AST cannot localize
    beaten = models[models.index.str.contains("Toy net")]
    assert (beaten["p_holm"] < 0.05).all()
    assert beaten["conclusion"].str.startswith("differs").all()
    ablations = table(config, "ablations")
    told = ablations[ablations["section"].str.contains("intersection")]["p_holm"] < 0.05
    card = titled(found, "Ablations")
    assert card.title == f"Ablations: {told.sum()} of 1 change differ from the reference"
    (line,) = card.lines
    assert re.fullmatch(r"twice as wide: [+−]\d+\.\d points (\(p [=<] .*\)|\[\d+\.\d\])", line)
    assert titled(found, "Toy net has the highest mean on 1 of 1 tasks").text == (
        "Significant on DESED-like."
    )
    p_holm = beaten["p_holm"].astype(float).max()
    assert re.match(r"p [=<] 0\.\d+ after Holm", titled(found, "DESED-like").certainty)
    assert p_holm < 0.05
    images = re.findall(r'alt="([^"]*)"', page)
    for words in ("F1 (%) by class", "Learning curves", "Soundscape", "on every task"):
        assert any(words in alt and "Toy net" in alt for alt in images), words
    assert "HTS-AT, AST, PANN-CNN and Toy net on DESED-like: some models small" in page


def test_the_ranking_covers_every_way_of_training_and_a_tie_is_no_win(config: Config) -> None:
    analysis = analyse(config)
    ((key, (one,)),) = analysis.standings.items()
    best, *others = one.ranked
    assert len(others) == 2  # AST cannot localize
    tied = replace(one, ranked=(best, *((group, best[1]) for group, _ in others)))
    ranking = findings(replace(analysis, standings={key: [tied]}))[0]
    assert ranking.title == "Models share the highest mean on 1 of 1 tasks"
    assert "Toy net, level with " in ranking.lines[0]
    assert "above" not in ranking.lines[0]
    ways = [
        replace(one, training="one way", ranked=one.ranked[1:], rivals=one.rivals[1:]),
        replace(one, training="another", ranked=one.ranked[:1], rivals=()),
    ]
    ranking = findings(replace(analysis, standings={key: ways}))[0]
    assert ranking.title.endswith("on 1 of 1 rankings of models trained alike")
    lower, higher = ranking.lines
    assert lower.startswith("DESED-like (one way): ")
    assert higher.startswith("DESED-like (another): Toy net ")
    assert higher.endswith(", alone")
    assert ranking.groups == (others[0][0].name, "desed/toy/base")


def test_every_model_has_a_colour_of_its_own(config: Config) -> None:
    from bench.figures.drawing import colour

    assert len({colour(config, model) for model in config.models}) == len(config.models)


def test_a_lead_names_who_is_absent_or_incomplete(config: Config) -> None:
    for cell in list_cells(config):
        absent = cell.model == "pann" or (cell.model == "htsat" and cell.seed == 3)
        if absent or (cell.variant == "wide" and cell.seed == 5):
            Layout.of(config).record(cell).unlink()
    found = said(config)
    lacking = "(HTS-AT tiny: 7 of 8 runs; PANN-CNN tiny: no records)"
    one = titled(found, "DESED-like")
    assert one.title == f"DESED-like: Toy net leads {lacking}"
    assert one.warning
    assert titled(found, "Predicted event times").title.endswith(lacking)
    assert titled(found, "Predicted event times").text == "AST tiny cannot localize."
    assert "PANN-CNN tiny: no records. AST tiny cannot localize." in one.text
    chance = next(f for f in found if f.title.endswith("clearly above chance"))
    assert "of 4 results" in chance.title
    assert "No figure for PANN-CNN tiny on DESED-like." in chance.text
    page = build(config).read_text(encoding="utf-8")
    left_out = page.split("Not in this report")[1].split("</section>")[0]
    assert "points, 7 of 8 pairs " in titled(found, "Ablations").lines[0]
    assert "No record yet: 10 runs; run <code>snakemake --cores all</code>" in left_out
    assert "desed/htsat/base/seed3" in left_out
    assert page.count("to be read with care") == 0


def test_where_no_test_can_decide_nobody_leads(config: Config, tmp_path: Path) -> None:
    few = experiment(tmp_path, seeds=(0,))
    page = build(few).read_text(encoding="utf-8")
    found = said(few)
    assert titled(found, "DESED-like").title == "DESED-like: Toy net has the highest mean"
    assert titled(found, "DESED-like").certainty == "not tested: one run"
    assert "(one pair of runs has no test)" in titled(found, "DESED-like").text
    assert titled(found, "Ablations").title.startswith("Ablations: too few seeds")
    for finding in (found[0], titled(found, "Ablations")):
        assert all(line.endswith("(one run)") for line in finding.lines)
        assert "brackets" not in finding.text
    assert titled(found, "Predicted event times").title.startswith(
        "Predicted event times have the higher mean in 6 of 6"
    )
    chance = next(f for f in found if f.title.endswith("clearly above chance"))
    assert chance.certainty == "only 1 seed"
    assert bold_labels(few) == set()
    tables = Layout.of(few).report / "tables"
    for name in ("ablations", "comparisons"):
        rows = pd.read_csv(tables / f"{name}.csv")
        assert len(rows)
        assert rows.filter(regex="^p_|^p$").isna().all(axis=None)
    drawn = pd.read_csv(tables / "intervals.csv").dropna(subset="bootstrap_low")
    assert drawn["seeds_and_clips"].str.endswith("(new clips only)").all()
    shown = page.split("<script>")[0].replace("Every number leads to", "")
    assert not re.search(r"leads|differs \(p|better \(p", shown)


def test_without_contrasts_only_the_ablations_are_tested(config: Config, tmp_path: Path) -> None:
    every = {one.key: one for one in analyse(config).claims}
    before = titled(said(config), "Ablations")
    without = experiment(tmp_path, statistics={"contrasts": []})
    page = build(without).read_text(encoding="utf-8")
    ranking, *others = said(without)
    assert (ranking.title, ranking.text, ranking.lines) == (sentence(UNRANKED), "", ())
    task = titled(others, "DESED-like")
    assert (task.title, task.certainty) == ("DESED-like: models are not ranked", "")
    assert " p " not in task.text
    assert titled(others, "Ablations") == before
    assert page.count(sentence(UNRANKED)) == 2  # a finding, and how to read every table
    assert not re.search("highest mean|Bold", page)
    assert bold_labels(without) == set()
    sections = table(without, "comparisons")["section"]
    assert set(sections.str.partition(",")[0]) == {"Ablations"}
    claims = {one.key: one for one in analyse(without).claims}
    ranks = [key for key in claims if key.startswith("rank-desed")]
    for key in ranks:
        assert " minus " in every[key].measured
        assert " minus " not in claims[key].measured
        assert claims[key].verdict.kind == "not comparable"
        assert UNRANKED in claims[key].verdict.reason
    assert ranks
    assert {k for k in claims if claims[k] != every[k]} == set(ranks)


def test_a_baseline_above_unranked_models_is_named(config: Config, tmp_path: Path) -> None:
    analysis = analyse(experiment(tmp_path, statistics={"contrasts": []}))
    ((key, (one,)),) = analysis.standings.items()
    above = replace(analysis, standings={key: [replace(one, above=("linear",))]})
    ranking, task = findings(above)[0], next(task_findings(above, "desed"))
    assert ranking.text == "A baseline is not below any model on DESED-like."
    assert task.title.endswith("models are not ranked, none is above Linear baseline")
    assert ranking.warning
    assert task.warning


@pytest.mark.parametrize("count", [1, 3, 6, 11])
def test_a_legend_fits_and_leaves_the_axes_their_width(count: int) -> None:
    figure, axes = new_figure(WIDTH, 3.0)
    for number in range(count):
        axes.plot([0, 1], [0, 1], label=f"ATST-Frame tiny {number}")
    legend_above(figure)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == count
    assert legend.get_window_extent().width <= figure.bbox.width
    assert axes.get_position().width > 0.75
