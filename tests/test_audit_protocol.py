"""Broken protocols, each made on purpose: the report must catch and name every one."""

from __future__ import annotations

import shutil
from pathlib import Path

import factories
import numpy as np
import pandas as pd
import pytest

from bench.corpora import Corpus, open_corpus, save
from bench.corpora.base import COLUMNS, assemble
from bench.evaluation import evaluate
from bench.experiment import config as experiments
from bench.experiment.cells import Layout, find_cell, list_cells
from bench.experiment.config import Config
from bench.files import digest_file, read_json, write_json
from bench.reporting import context
from bench.reporting.build import build, make_tables, task_table
from bench.reporting.check_tables import audit_table
from bench.reporting.page import render
from bench.results.analysis import analyse
from bench.results.audit import RULES, audit
from bench.results.intervals import draw, intervals
from bench.results.load import load_results
from bench.results.names import DIGESTS
from bench.results.soundscapes import soundscapes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small experiment without any fault, with its results."""
    root = tmp_path_factory.mktemp("whole")
    config = small(root)
    factories.make_inputs(config)
    for cell in list_cells(config):
        factories.make_run(config, cell)
    return root


def small(root: Path) -> Config:
    """One localizing data set and one with folds, two models, two seeds."""
    full = factories.make_config(root).model_dump(mode="json")
    return factories.make_config(
        root,
        seeds=(0, 1),
        datasets={name: full["datasets"][name] for name in ("esc50", "desed")},
        models={name: full["models"][name] for name in ("htsat", "linear")},
        recipes={"base": full["recipes"]["base"]},
        ablations={},
        localization={"median_filters": [1], "thresholds": 9},
        cost={},
    )


@pytest.fixture
def experiment(whole: Path, tmp_path: Path) -> Config:
    """A copy that a test may break."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return small(tmp_path)


def page_of(config: Config) -> str:
    return build(config).read_text(encoding="utf-8").replace("&#39;", "'")


def rules_broken(config: Config) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for breach in audit(load_results(config)).breaches:
        found.setdefault(breach.rule, []).append(str(breach))
    return found


def test_clean_results_break_no_rule(experiment: Config) -> None:
    assert rules_broken(experiment) == {}
    page = page_of(experiment)
    assert "Not in this report" not in page
    assert "to be read with care" not in page
    table = pd.read_csv(Layout.of(experiment).report / "tables" / "protocol.csv")
    assert set(table["answer"]) == {"kept"}


def test_the_report_follows_from_the_analysis_alone(experiment: Config) -> None:
    page = build(experiment).read_text(encoding="utf-8")
    analysis = analyse(experiment)
    shutil.rmtree(Layout.of(experiment).results)
    shutil.rmtree(Layout.of(experiment).work)
    assert render(analysis, make_tables(analysis)) == page


def test_thresholds_chosen_on_test_are_named(
    experiment: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = evaluate.read_scores
    monkeypatch.setattr(evaluate, "read_scores", lambda path, split: honest(path, "test"))
    evaluate.evaluate_cell(experiment, find_cell(experiment, "desed/htsat/base/seed1"))
    place, words = "desed/htsat/base/seed1", "thresholds were chosen on the test clips"
    assert rules_broken(experiment) == {"selection": [f"{place}: {words}"]}
    assert f"{words.capitalize()}: {place}; delete" in page_of(experiment)


def test_an_epoch_chosen_on_test_is_named(experiment: Config) -> None:
    cell = find_cell(experiment, "esc50/htsat/base/fold0-seed0")
    path = Layout.of(experiment).run(cell)
    with np.load(path / "scores.npz") as stored:
        arrays = dict(stored)
    names, split = arrays["clip_ids"].copy(), arrays["split"]
    names[np.flatnonzero(split == "validation")[:3]] = names[split == "test"][:3]
    np.savez(path / "scores.npz", **{**arrays, "clip_ids": names})
    files = {"scores.npz": digest_file(path / "scores.npz")}
    factories.change_record(experiment, cell, files=files)
    place, words = "esc50/htsat/base/fold0-seed0", "the epoch was chosen on 3 test clips"
    assert rules_broken(experiment) == {"selection": [f"{place}: {words}"]}
    assert f"{words.capitalize()}: {place}; delete" in page_of(experiment)


def test_a_recording_in_two_splits_is_named(experiment: Config) -> None:
    folder = Layout.of(experiment).corpus("desed")
    clips = pd.read_parquet(folder / "clips.parquet")
    clips.loc[clips["split"] == "test", "group"] = clips["group"].iloc[0]
    factories.write_clips(folder, clips)
    (named,) = rules_broken(experiment)["groups"]
    words = named.removeprefix("desed: ")
    assert words.startswith("recording 'desed_000.wav' lies in splits test, train")
    assert words[1:] in page_of(experiment)


def test_a_missing_seed_is_named(experiment: Config) -> None:
    (
        Layout.of(experiment).run(find_cell(experiment, "desed/htsat/base/seed1")) / "record.json"
    ).unlink()
    assert rules_broken(experiment) == {"seeds": ["desed/htsat/base/seed1: no record yet"]}
    page = page_of(experiment)
    assert "No record yet: desed/htsat/base/seed1; run <code>snakemake --cores all</code>" in page
    assert "the highest" not in page  # of one model
    assert "(HTS-AT tiny: 1 of 2 runs)" in page
    assert "desed/htsat/base: 1 of 2 runs." in page


@pytest.mark.parametrize("digest", ["code_train", "code_evaluate", "data", "features", "pins"])
def test_a_stale_record_is_named(experiment: Config, digest: str) -> None:
    for seed in (0, 1):
        cell = find_cell(experiment, f"desed/htsat/base/seed{seed}")
        factories.change_record(experiment, cell, digests={digest: "0" * 64})
    words = f"made with other {DIGESTS[digest]} than the present"
    assert f"desed/htsat/base: {words}" in rules_broken(experiment)["fresh"]
    page = page_of(experiment)
    assert "Not in this report" not in page
    shown = page.split("In this report, to be read with care")[1]
    assert f"{words.capitalize()}: desed/htsat/base; run <code>snakemake" in shown


def test_a_record_of_other_settings_is_named_and_left_out(experiment: Config) -> None:
    cell = find_cell(experiment, "desed/htsat/base/seed0")
    factories.change_record(experiment, cell, digests={"protocol": "0" * 64})
    (named,) = rules_broken(experiment)["fresh"]
    assert named.endswith("decided by other localization settings than the present ones")
    group = load_results(experiment).group("desed", "htsat")
    assert group is not None
    assert group.record_keys == ("desed/htsat/base/seed1",)


def remake(experiment: Config, corpus: Corpus, clips: pd.DataFrame) -> None:
    """DESED's runs on another table of clips."""
    other = assemble(
        "desed",
        corpus.root,
        corpus.classes,
        clips,
        multilabel=True,
        synthetic=True,
        events=corpus.events,
    )
    save(other, Layout.of(experiment).corpus("desed"))
    for cell in list_cells(experiment):
        if cell.dataset == "desed":
            factories.make_run(experiment, cell)


def test_a_recording_that_published_lists_cut_for_two_splits_is_told(experiment: Config) -> None:
    corpus = open_corpus(Layout.of(experiment).corpus("desed"))
    clips = corpus.clips.copy()
    shared = [clips.index[clips["split"] == split][0] for split in ("train", "test")]
    clips.loc[shared, ["group", "cut_s"]] = [["AaeemnJDijQ", 300.0], ["AaeemnJDijQ", 250.0]]
    remake(experiment, corpus, clips)
    assert rules_broken(experiment) == {}
    results = load_results(experiment)
    (note,) = context.gaps(results, "desed")
    assert "AaeemnJDijQ (test, train)" in note
    assert context.gaps(results, "esc50") == []
    assert "AaeemnJDijQ" in page_of(experiment)


def test_a_partial_corpus_is_named(experiment: Config) -> None:
    layout = Layout.of(experiment)
    corpus = open_corpus(layout.corpus("desed"))
    clips = corpus.clips[list(COLUMNS)].copy()
    clips.loc[clips["split"] == "train", "path"] = ["", "", *["clip.wav"] * 14]
    remake(experiment, corpus, clips)
    words = "46 of 48 listed clips are on disk (95.8 %)"
    assert rules_broken(experiment) == {"coverage": [f"desed: {words}"]}
    assert f"{words}: desed; get the absent clips" in page_of(experiment)


def test_damaged_scores_are_named(experiment: Config) -> None:
    path = Layout.of(experiment).run(find_cell(experiment, "desed/linear/base/seed0"))
    (path / "scores.npz").write_bytes(b"PK")
    assert rules_broken(experiment) == {
        "selection": [
            "desed/linear/base/seed0: scores.npz is missing, damaged, or not that of its record"
        ]
    }


@pytest.mark.parametrize(
    ("name", "lost", "kept"),
    [
        ("scores.npz", {"mAP", "mAUC", "d_prime", "intersection_f1"}, set()),
        ("events.tsv", {"intersection_f1", "event_based_f1", "segment_based_f1"}, {"mAP"}),
    ],
)
def test_another_run_s_files_beside_a_record_are_named_and_not_used(
    experiment: Config, name: str, lost: set[str], kept: set[str]
) -> None:
    one, other = (
        Layout.of(experiment).run(find_cell(experiment, f"desed/htsat/base/seed{seed}"))
        for seed in (0, 1)
    )
    shutil.copy(other / name, one / name)
    results = load_results(experiment)
    found = {
        item.metric: item
        for item in intervals(results, draw(results))
        if item.group.name == "desed/htsat/base"
    }
    for metric in lost:
        assert found[metric].interval is None
        assert f"{one / name}: not the file that its record was made with" in found[metric].problem
    assert all(found[metric].interval is not None for metric in kept)
    if name == "scores.npz":
        (named,) = rules_broken(experiment)["selection"]
        assert "desed/htsat/base/seed0: scores.npz is" in named
    pictures, why = soundscapes(results, "desed")
    assert pictures == []
    assert str(one / name) in why


def test_clips_without_features_or_scores_are_not_pictured(experiment: Config) -> None:
    """A clip that featurize excludes, for one front end or for all, stays in the corpus table."""
    layout, cell = Layout.of(experiment), find_cell(experiment, "desed/htsat/base/seed0")
    (_, unheard, unscored), _ = soundscapes(load_results(experiment), "desed")
    index = layout.features("desed", experiment.models["htsat"].front_end) / "index.parquet"
    table = pd.read_parquet(index)
    table[table["clip"] != unheard.clip].to_parquet(index, index=False)
    scores, events = (layout.run(cell) / name for name in ("scores.npz", "events.tsv"))
    with np.load(scores) as stored:
        arrays = dict(stored)
    arrays["split"][arrays["clip_ids"] == unscored.clip] = "train"
    np.savez(scores, **arrays)
    kept = [line for line in events.read_text().splitlines(True) if unscored.clip not in line]
    events.write_text("".join(kept))
    files = {path.name: digest_file(path) for path in (scores, events)}
    factories.change_record(experiment, cell, files=files)
    shown, why = soundscapes(load_results(experiment), "desed")
    assert why == ""
    assert len(shown) == 3
    assert not {unheard.clip, unscored.clip} & {scape.clip for scape in shown}


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_published_fold_protocol_is_told_by_what_was_chosen(
    experiment: Config, select: str
) -> None:
    """The network's epoch, and always the regularisation of the linear baseline."""
    values = experiment.model_dump(mode="json")
    values["datasets"]["esc50"]["fold_protocol"] = "published"
    values["recipes"]["base"]["select"] = select
    published = experiments.load(values)
    for cell in list_cells(published):
        factories.make_run(published, cell)
    broken = rules_broken(published)["selection"]
    epochs = [words for words in broken if words.startswith("esc50/htsat/base/")]
    assert len(broken) == len(epochs) + 2
    assert all("the regularisation was chosen on" in words for words in {*broken} - {*epochs})
    notes = " ".join(task_table(analyse(published), "esc50").notes)
    if select == "best":
        assert len(epochs) == 2
        assert all("the epoch was chosen on 10 test clips" in words for words in epochs)
        assert "Chosen on clips that are tested as well: epoch and regularisation." in notes
    else:
        assert epochs == []
        assert "HTS-AT tiny: Nothing was chosen by scores." in notes
        assert "Linear baseline: Chosen on clips that are tested as well: regularisation." in notes
    # What the protocol itself asks for bars no comparison; other breaches do.
    group = load_results(published).group("esc50", "htsat")
    assert group is not None
    assert audit(load_results(published)).broken(group) == []
    assert "set fold_protocol of esc50 to clean" in page_of(published)


def test_without_corpus_tables_what_needs_them_is_not_called_kept(experiment: Config) -> None:
    shutil.rmtree(Layout.of(experiment).corpus("desed"))
    assert rules_broken(experiment) == {}
    answers = [row.entries["answer"].words for row in audit_table(analyse(experiment)).rows]
    named = dict(zip(RULES, answers, strict=True))
    for rule in ("groups", "fresh"):
        assert named.pop(rule).startswith("not known")
        assert "desed" in answers[list(RULES).index(rule)]
    assert set(named.values()) == {"kept"}


def test_unusable_clips_are_no_full_coverage(experiment: Config) -> None:
    for cell in list_cells(experiment):
        if cell.dataset == "desed":
            factories.change_record(experiment, cell, coverage={"excluded": 3})
    assert rules_broken(experiment)["coverage"] == ["desed: 3 clips unusable"]


def test_captions_count_the_seeds_that_are_there(experiment: Config) -> None:
    """A data set may have seeds of its own, and a run no record."""
    values = experiment.model_dump(mode="json")
    values["datasets"]["desed"]["seeds"] = [0]
    results = analyse(experiments.load(values))
    assert task_table(results, "desed").caption.endswith("n = 1 seed.")
    assert "Seeds 0, 1 (n = 2)" in " ".join(task_table(results, "esc50").notes)
    said = context.seeds_sentence(results)
    assert said.startswith("Seeds ESC-50-like 0, 1 (n = 2); DESED-like 0 (n = 1). Fewer than")
    assert context.fewest_seeds(results) == 1


def test_what_published_folds_share_is_named_and_bars_nothing(experiment: Config) -> None:
    path = Layout.of(experiment).corpus_file("esc50")
    write_json(path, read_json(path) | {"straddling": ["esc50_003.wav"]})
    words = "the published folds share recordings esc50_003.wav"
    assert rules_broken(experiment) == {"groups": [f"esc50: {words}"]}
    results = analyse(experiment)
    assert words in audit_table(results).rows[1].entries["answer"].words
    group = results.group("esc50", "htsat")
    assert group is not None
    assert results.broken(group) == []
    assert "to be read with care" not in page_of(experiment)
