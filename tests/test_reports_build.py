"""The whole report of a made-up experiment: its numbers against recomputations, and the page."""

from __future__ import annotations

import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import factories
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from recomputed import Runs, check

from bench import __main__ as cli
from bench.experiment.cells import Layout, find_cell
from bench.experiment.config import Config
from bench.files import write_json
from bench.reporting.build import build
from bench.reporting.listed import SUFFIXES, layouts, table_names

SPITE = '<img src="https://example.org/x" onerror="alert(1)">'
MISSING = "speechcommands/ast/base/seed1"
STALE = "audioset/linear/base/seed0"
MIXED = "esc50/pann/base/fold1-seed1"
TASKS = ["overview", "audioset", "esc50", "speechcommands", "desed", "desed_summary"]
CLASSES = ["audioset_classes", "esc50_classes", "speechcommands_classes"]
PAPER = ["paper_tagging", "paper_classification", "paper_localization"]
TABLES = [*TASKS, *CLASSES, *PAPER, "ablations", "cost"]
CHECKS = ["chance", "without_times"]
NAMES = ["HTS-AT tiny", "AST tiny", "PANN-CNN tiny"]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An experiment whose report was written, with one record of every kind that must be named."""
    root = tmp_path_factory.mktemp("experiment")
    config = factories.make_config(root, seeds=(0, 1), title=f"Spite {SPITE}")
    factories.make_results(config)
    factories.change_record(
        config, find_cell(config, "audioset/ast/base/seed0"), provenance={"command": SPITE}
    )
    (Layout.of(config).run(find_cell(config, MISSING)) / "record.json").unlink()
    factories.change_record(config, find_cell(config, STALE), config_digest="0" * 64)
    factories.change_record(config, find_cell(config, MIXED), digests={"data": "f" * 64})
    build(config)
    return config


@pytest.fixture(scope="module")
def page(experiment: Config) -> str:
    return (Layout.of(experiment).report / "index.html").read_text(encoding="utf-8")


def table(config: Config, name: str) -> pd.DataFrame:
    return pd.read_csv(Layout.of(config).report / "tables" / f"{name}.csv")


def test_every_number_of_every_table_equals_a_recomputation(experiment: Config) -> None:
    layout = Layout.of(experiment)
    runs = Runs(layout.results, layout.work / "corpora", experiment.model_dump(mode="json"))
    numbers = check(layout.report / "tables", runs)
    assert set(numbers.index) == {
        *TABLES,
        *CHECKS,
        "comparisons",
        "detectable",
        "intervals",
        "recipes",
    }
    assert numbers.sum() > 3000


def test_what_is_written_is_what_was_announced(experiment: Config) -> None:
    """Each table in every form; in those of papers a caption of one line and a label."""
    folder = Layout.of(experiment).report / "tables"
    announced = {f"{name}.{suffix}" for name in table_names(experiment) for suffix in SUFFIXES}
    assert {path.name for path in folder.iterdir()} == announced
    assert set(layouts(experiment)) == set(PAPER)
    for name in (*PAPER, "overview", "ablations"):
        text = (folder / f"{name}.tex").read_text(encoding="utf-8")
        assert text.count(r"\begin{tabular}") == 1  # one float, never split
        assert rf"\label{{tab:{name}}}" in text
        (caption,) = [line for line in text.splitlines() if line.startswith(r"\caption")]
        assert len(caption) < 160


def test_answers_about_chance_follow_from_their_figures(experiment: Config) -> None:
    checks = table(experiment, "chance")
    assert len(checks) == 16 - 1  # one group is refused
    chance = checks["chance_percent"]
    above = checks["lower_bound_percent"] - (3 * chance).clip(upper=(100 + chance) / 2)
    decided = above.abs() > 1e-9  # elsewhere rounding decides
    assert decided.sum() > 10
    answers = checks["answer"].str.startswith("yes")
    assert list(answers[decided]) == list(above[decided] > 0)


def test_hand_set_thresholds_have_rows_of_their_own(experiment: Config) -> None:
    frame = table(experiment, "desed")
    rows = frame[frame["model"].str.endswith("hand-set thresholds")]
    assert len(rows) == 2 * 3  # two localizing models, three families
    for key in rows["records"].str.split().str[0]:
        record = json.loads(
            (Layout.of(experiment).results / "runs" / key / "record.json").read_text()
        )
        point = record["hand_set"]["operating_point"]
        assert point["source"].startswith("published, set by hand")
        assert point["chosen_on"] is None
        assert 0.275 in point["thresholds"] or 0.28 in point["thresholds"]


def test_what_a_model_without_times_shows_is_words_not_zero(experiment: Config, page: str) -> None:
    frame = table(experiment, "desed")
    for model in ("AST tiny", "Linear baseline"):
        silent = frame[(frame["model"] == model) & frame["macro_percent"].isna()]
        assert list(silent["remark"]) == ["cannot localize"] * 5
    assert "AST tiny gives clip scores only: cannot localize." in page
    assert "AST tiny cannot localize." in page


@pytest.mark.parametrize("name", TABLES + CHECKS)
def test_tables_come_in_three_forms_that_name_their_records(
    experiment: Config, tmp_path: Path, name: str
) -> None:
    folder = Layout.of(experiment).report / "tables"
    frame = table(experiment, name)
    frame.to_csv(tmp_path / "again.csv", index=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again.csv"), frame)
    latex = (folder / f"{name}.tex").read_text(encoding="utf-8")
    markdown = (folder / f"{name}.md").read_text(encoding="utf-8")
    keys = {key for keys in frame["records"].dropna() for key in keys.split()}
    assert keys
    for key in keys:
        assert key in markdown
        assert any(key in line for line in latex.splitlines() if line.startswith("% records"))
    title, _, caption = markdown.splitlines()[:3]
    assert latex.split(r"\caption")[1].split(r"\label")[0].lower().count("synthetic data") == 1
    assert caption.lower().count("synthetic data") == 1
    assert "synthetic data" not in title
    assert latex.count("{") - latex.count(r"\{") == latex.count("}") - latex.count(r"\}")
    rendered = Page(MarkdownIt("commonmark").enable("table").render(markdown))
    assert rendered.tags.count("table") >= 1
    assert rendered.tags.count("tr") > len(frame)
    assert all(len(row) == len(rendered.rows[0]) for row in rendered.rows)
    assert "|" not in rendered.outside


class Page(HTMLParser):
    """Every reference, id, image and tag of a page, its table rows, and the text outside them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.outside = ""
        self.references: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.references += [str(values[name]) for name in ("src", "href") if name in values]
        self.ids += [str(values["id"])] if "id" in values else []
        self.images += [values] if tag == "img" else []

    def handle_data(self, data: str) -> None:
        if "table" not in self.tags or self.tags[-1] not in ("tr", "td", "th", "thead", "tbody"):
            self.outside += data


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    parsed = Page(page)
    assert parsed.references
    beside = {reference for reference in parsed.references if not reference.startswith("data:")}
    assert {r for r in beside if not r.startswith("#")} == {"claims.html"}
    assert "@import" not in page
    assert "url(" not in page
    targets = {reference[1:] for reference in parsed.references if reference.startswith("#")}
    assert targets <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_names_from_records_are_shown_never_run(page: str) -> None:
    assert SPITE not in page
    assert page.count("&lt;img src=&#34;https://example.org/x&#34;") >= 2


def test_pictures_say_in_words_what_they_show(page: str) -> None:
    images = Page(page).images
    # overview 2, by class 6, curves 4, soundscapes 9, forests 2, orders 3, cost 3, speed 1
    assert len(images) == 30
    assert all(len(str(image["alt"])) > 40 for image in images)
    scapes = [str(image["alt"]) for image in images if "Soundscape" in str(image["alt"])]
    shown = 3 * NAMES  # three clips, three models each
    assert all(name in alt for name, alt in zip(shown, scapes, strict=True))


def test_the_page_names_what_is_absent_stale_and_refused(experiment: Config, page: str) -> None:
    assert f"No record yet: {MISSING}; run <code>snakemake --cores all</code>" in page
    assert f"Made with another config than the present one: {STALE}; run" in page
    assert "Not averaged, because they do not share the data: esc50/pann/base" in page
    assert "PANN-CNN tiny: not averaged" in page  # in the headline of the data set
    row = table(experiment, "esc50").query("model == 'PANN-CNN tiny'").iloc[0]
    assert row["remark"] == "not averaged"
    commands = table(experiment, "speechcommands").query("model == 'AST tiny'").iloc[0]
    assert commands["accuracy_percent_n"] == 1


def shown_titles(path: Path) -> list[str]:
    """The heads of a Markdown table's columns; none where it has no rows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next((line for line in lines if line.startswith("| ")), "|  |")
    return [title.replace("\\", "") for title in head.strip("| ").split(" | ")[1:]]


def test_every_figure_of_a_table_leads_to_its_records(
    experiment: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "experiment.json"
    write_json(path, experiment.model_dump(mode="json"))

    @cache
    def explained(what: str) -> str:
        assert cli.main(["explain", what, "--config", str(path)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    for csv in sorted((Layout.of(experiment).report / "tables").glob("*.csv")):
        frame = pd.read_csv(csv)
        for _, row in frame[frame["records"].notna()].iterrows():
            text = explained(f"{csv.stem}:{row.iloc[1]}")
            for key in row["records"].split():
                assert f"  {key}  " in text
                assert f"again: python -m bench {'cost' if key.startswith('cost') else ''}" in text
        for title in shown_titles(csv.with_suffix(".md")):
            assert explained(f"{csv.stem}:{frame.iloc[0, 1]}:{title}")
    shown = table(experiment, "desed").query("model == 'HTS-AT tiny'")["macro_percent"].iloc[0]
    assert f"macro_percent = {shown}" in explained("desed:HTS-AT tiny:macro_percent")
    assert "mAP_percent = " in explained("audioset:HTS-AT tiny:mAP (%)")
    assert explained("audioset:hts-at tiny:mAP") == explained("audioset:HTS-AT tiny:mAP_percent")
    cost = explained("cost:HTS-AT tiny:params (M)")
    assert "parameters" in cost.splitlines()[1]
    assert "2 of 2 runs" in explained("desed/htsat/base")
    assert "python -m bench cost htsat" in explained("cost/htsat")
    for what, message in {
        "desed:HTS-XX": "no row 'HTS-XX'; there are: HTS-AT tiny",
        "desed:HTS-AT tiny:mAP": "no column 'mAP'; columns: ",
        "nothing:HTS-AT": "no such table (there are: ablations, ",
        "esc50/pann/base": "not averaged, because they do not share the data",
        "desed/htsat/nothing": "no group 'desed/htsat/nothing'",
        "cost/nothing": "no measurement 'cost/nothing'; there are: cost/ast, cost/htsat",
    }.items():
        assert cli.main(["explain", what, "--config", str(path)]) == 2
        assert message in capsys.readouterr().err


def test_no_published_figure_stands_beside_synthetic_data(experiment: Config) -> None:
    for dataset in experiment.datasets:
        frame = table(experiment, dataset)
        assert not [name for name in frame if name.startswith("published") or name == "comparison"]
        assert not frame["model"].str.contains("published").any()
    assert set(table(experiment, "esc50")["training"].dropna()) == {
        "clip labels, from a run on AudioSet-like (clip labels, from random weights)"
    }
