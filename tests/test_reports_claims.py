"""Claims and verdicts: complete for the default experiment, and every verdict at full size."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import factories
import pandas as pd
import pytest

from bench.evaluation.rescore import output
from bench.experiment.cells import Layout, find_cell, list_cells
from bench.experiment.config import Config
from bench.experiment.extends import read
from bench.provenance import environment, source
from bench.reporting.claims_page import claims_table, render_claims
from bench.reporting.cost_table import cost_table
from bench.reporting.page import anchor
from bench.reporting.tables import to_csv
from bench.results import published, rescored
from bench.results.analysis import Analysis, analyse
from bench.results.audit import audit
from bench.results.claim import CLAIMS, FIGURES, entry_beside
from bench.results.claims import claims
from bench.results.identity import fingerprints
from bench.results.load import load_results
from bench.results.measured import Rescored
from bench.results.provenance import sources

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"reproduced", "better", "below", "inconclusive", "not comparable"}
SEEDS = (0, 1, 2, 3)


def full_size(root: Path) -> Config:
    """A real experiment of the published size whose protocol meets the published ones half-way."""
    values = factories.make_config(root).model_dump(mode="json")
    values["datasets"]["esc50"] |= {"fold_protocol": "published", "seeds": range(5)}
    for model in ("htsat", "ast", "pann"):
        values["models"][model]["arguments"] = {"preset": "paper"}
        values["cost"]["models"][model].pop("preset", None)
    values["models"]["pann"]["arguments_on"] = {"desed": {"variant": "decision_max"}}
    averaged = {"average_epochs": 3}
    recipes = {"base": values["recipes"]["base"]}
    recipes |= {"ast/audioset": averaged, "htsat/audioset": averaged}
    study = {
        "models": ["htsat"],
        "datasets": ["audioset"],
        "factors": {"start": {"no_pretraining": {"why": "none", "recipe": {"init": "random"}}}},
    }
    return factories.make_config(
        root,
        seeds=SEEDS,
        embedded=None,
        datasets=values["datasets"],
        models={name: values["models"][name] for name in ("htsat", "ast", "pann")},
        recipes=recipes,
        ablations={"start": study},
        localization={"median_filters": [1], "thresholds": 9, "hand_set": {"htsat": "htsat"}},
    )


DATA = {
    "audioset": "AudioSet-2M",
    "esc50": "ESC-50",
    "speechcommands": "SpeechCommandsV2-35",
    "desed": "DESED-public-eval",
}
ENTRIES = {
    (dataset, fingerprints().networks[entry.beside].architecture): entry
    for entry in published.load()
    for dataset, name in DATA.items()
    if entry.beside and entry.dataset == name
}
MEANS = {
    # group -> (metric, figure of seed 0, step from seed to seed)
    "audioset/ast/base": ("mAP", 0.4575, 0.001),  # printed 0.459
    "audioset/pann/base": ("mAP", 0.400, 0.001),  # printed 0.431
    "audioset/htsat/base": ("mAP", 0.470, 0.001),
    "esc50/ast/base": ("accuracy", 0.85, 0.08),  # printed 0.956
    "esc50/htsat/base": ("accuracy", 0.990, 0.0002),  # printed 0.970
    "speechcommands/ast/base": ("accuracy", 0.979, 0.001),
}


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = full_size(tmp_path_factory.mktemp("full"))
    factories.make_results(config)
    for cell in list_cells(config):
        found = MEANS.get(str(cell).rsplit("/", 1)[0])
        if found:
            metric, first, step = found
            value = {metric: {"value": first + cell.seed * step}}
            factories.change_record(config, cell, metrics={"test": value})
        entry = ENTRIES.get((cell.dataset, cell.model))
        if entry is not None:
            values = factories.as_published(entry)
            if cell.variant != "base":
                values["resolved"]["recipe"]["init"] = "random"
            factories.change_record(config, cell, **values)
    return config


@pytest.fixture(scope="module")
def analysis(results_folder: Config) -> Analysis:
    return analyse(results_folder)


def table(analysis: Analysis) -> pd.DataFrame:
    return pd.read_csv(StringIO(to_csv(claims_table(analysis))))


def test_a_full_size_folder_has_a_case_of_every_verdict(analysis: Analysis) -> None:
    frame = table(analysis)
    figures = frame[frame["section"] == FIGURES].set_index("claim")["verdict"]
    assert figures["AST on AudioSet, mAP"] == "reproduced"
    assert figures["PANN-CNN on AudioSet, mAP"] == "below"
    assert figures["HTS-AT on ESC-50, accuracy"] == "better"
    assert figures["AST on ESC-50, accuracy"] == "inconclusive"
    assert figures["HTS-AT on AudioSet, mAP"] == "not comparable"
    assert set(figures) == KINDS
    reasons = frame.set_index("claim")["reason"]
    assert "10-shift test-time augmentation" in reasons["HTS-AT on AudioSet, mAP"]
    assert "ImageNet pretraining" not in reasons["HTS-AT on AudioSet, mAP"]
    assert "only 5 seeds" in reasons["AST on ESC-50, accuracy"]
    by_hand = "HTS-AT on DESED, intersection F1"
    assert "hand-set thresholds" in reasons[by_hand]
    assert "hand-set thresholds" not in reasons[by_hand + ", hand-set thresholds"]


def test_every_claim_is_there_with_evidence_and_a_reason(analysis: Analysis) -> None:
    frame = table(analysis)
    own = frame[frame["section"] == CLAIMS].set_index("claim")
    assert len(own) == 6 + 3 + 3 + 2
    assert set(own["verdict"]) <= KINDS
    assert frame[["published", "measured", "verdict", "reason"]].notna().all().all()
    verdicts = own["verdict"]
    assert verdicts["HTS-AT has 35 % of AST's parameters"] == "reproduced"
    assert verdicts["AST with its class token cannot locate events in time"] == "reproduced"
    assert verdicts["HTS-AT needs much less GPU memory than AST"] == "not comparable"
    assert "trained on a CPU" in own["reason"]["HTS-AT trains in 80 GPU hours where AST takes 600"]
    gap = own.loc["Without pretraining HTS-AT is only 1 to 2 % lower"]
    assert "−1.8 points" in gap["published"]
    assert "HTS-AT (no pretraining) minus HTS-AT (unchanged), paired" in gap["measured"]


def test_the_claim_about_memory_counts_the_clips_of_the_cost_table(analysis: Analysis) -> None:
    claimed = table(analysis).set_index("claim")["measured"]
    cost = pd.read_csv(StringIO(to_csv(cost_table(analysis))))
    fits = (
        cost[cost["section"].str.startswith("Full size")]
        .set_index("model")["largest_batch_12GiB"]
        .astype(int)
    )
    said = f"holds about {fits['HTS-AT']} and {fits['AST']} clips"
    assert said in claimed["HTS-AT needs much less GPU memory than AST"]


def test_the_default_experiment_has_every_claim_and_compares_nothing(tmp_path: Path) -> None:
    config = factories.make_config(tmp_path, seeds=(0, 1))
    factories.make_results(config)
    results = analyse(config)
    frame = table(results)
    assert len(frame[frame["section"] == CLAIMS]) == 6 + 3 + 3 + 2
    assert not (frame["section"] == FIGURES).any()  # nothing here is of the published data
    by_kind = frame.groupby("verdict")["claim"].agg(list)
    assert set(by_kind.index) == {"reproduced", "inconclusive", "not comparable"}
    assert len(by_kind["reproduced"]) == 2  # parameters at full size; AST cannot localize
    compared = frame[frame["verdict"] == "not comparable"]["reason"]
    counted = compared[~compared.str.contains("CPU in single precision")]
    assert counted.str.startswith("synthetic data, not ").all()
    text = render_claims(results, claims_table(results))
    assert "All audio is synthetic" in text
    assert "HTS-AT tiny (no pretraining) minus HTS-AT tiny (unchanged)" in text
    assert (
        "HTS-AT tiny (no token semantic) minus HTS-AT tiny (no pretraining)" in text
    )  # one thing changes, not two
    assert "(no token semantic) minus HTS-AT tiny (unchanged)" not in text
    counts = dict(re.findall(r"<dt>([a-z ]+)</dt><dd>(\d+)</dd>", text))
    assert counts == {kind: str(len(by_kind[kind])) for kind in by_kind.index}
    folded = text.split("not comparable with what was published</summary>")[1].split("</details>")[
        0
    ]
    assert folded.count("<strong>not comparable</strong>") == len(by_kind["not comparable"])
    anchors = {anchor(source.name) for source in sources(results)}
    for claim in results.claims:
        assert f"<strong>{claim.verdict.kind}</strong>" in text
        for group in claim.groups:
            assert anchor(group) in anchors
            assert f'href="index.html#{anchor(group)}"' in text


@pytest.mark.parametrize(("sign", "kind"), [(1, "below"), (-1, "reproduced")])
def test_the_claim_about_map_is_judged_by_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: int, kind: str
) -> None:
    """Without the module, mAP moves one way and intersection F1 the other, in records that are
    taken for comparable ones."""
    full = factories.make_config(tmp_path).model_dump(mode="json")
    change = {"why": "none", "model": {"token_semantic": False}}
    study = {"models": ["htsat"], "datasets": ["desed"], "factors": {"module": {"without": change}}}
    config = factories.make_config(
        tmp_path,
        datasets={"desed": full["datasets"]["desed"]},
        models={"htsat": full["models"]["htsat"]},
        recipes={"base": full["recipes"]["base"]},
        ablations={"module": study},
        localization={"median_filters": [1], "thresholds": 9},
        cost={},
    )
    factories.make_results(config)
    for cell in list_cells(config):
        moved = 0.0 if cell.variant == "base" else sign * (0.1 + 0.01 * cell.seed)
        test = {"mAP": {"value": 0.5 + moved}, "intersection_f1": {"value": 0.5 - moved}}
        factories.change_record(config, cell, metrics={"test": test})
    monkeypatch.setattr(published, "differences", lambda *_: [])
    (found,) = [one for one in claims(audit(load_results(config)), None) if "semantic" in one.key]
    assert found.verdict.kind == kind
    assert ("mAP" in found.measured, "F1" in found.measured) == (True, False)
    assert f"{'+' if sign > 0 else '−'}11.0 points" in found.measured


def test_scored_predictions_decide_their_claims(results_folder: Config, tmp_path: Path) -> None:
    def scores(intersection: float) -> dict:
        return {
            "intersection": {"macro_f1": intersection, "per_class": {}},
            "event_based": {"macro_f1": 0.07, "per_class": {}},
            "segment_based": {"macro_f1": 0.7, "per_class": {}},
            "files": 692,
            "reference_events": 2765,
            "predicted_events": 2700,
            "warnings": [],
        }

    scored = Rescored.model_validate(
        {
            "systems": {"single": scores(0.4842), "ensemble": scores(0.4)},
            "files": {},
            "source": "a folder",
            "command": "python -m bench rescore",
            "provenance": {**source(), **environment()},
        }
    )
    scored.write(output(results_folder))
    try:
        audited = audit(load_results(results_folder))
        found = {one.key: one for one in claims(audited, rescored.load(results_folder))}
    finally:
        output(results_folder).unlink()
    assert found["rescored-single"].verdict.kind == "reproduced"
    assert found["rescored-ensemble"].verdict.kind == "below"
    assert "7.00 % by collars" in found["rescored-single"].measured


def test_a_broken_protocol_is_compared_with_nothing(results_folder: Config) -> None:
    before = {}
    for seed in SEEDS:
        other = find_cell(results_folder, f"audioset/ast/base/seed{seed}")
        record = Layout.of(results_folder).run(other) / "record.json"
        before[record] = record.read_bytes()
        factories.change_record(results_folder, other, digests={"pins": "0" * 64})
    try:
        results = audit(load_results(results_folder))
        group = results.group("audioset", "ast")
        assert group is not None
        found = published.against(results, group, "mAP")
    finally:
        for record, content in before.items():
            record.write_bytes(content)
    assert found is not None
    assert found.verdict.kind == "not comparable"
    assert "made with other pinned packages than the present" in found.verdict.reason


@pytest.mark.parametrize(
    ("values", "spread", "kind"),
    [
        ([0.970, 0.971, 0.969], (None, None), "reproduced"),
        ([0.970, 0.971, 0.969], (0.002, 3), "reproduced"),
        ([0.970, 0.971, 0.969], (0.02, 3), "inconclusive"),  # the published mean is unsure itself
        ([0.980, 0.981, 0.982], (0.002, 3), "better"),
        ([0.950, 0.951, 0.952], (0.002, 3), "below"),
    ],
)
def test_the_published_spread_counts(
    values: list[float], spread: tuple[float | None, int | None], kind: str
) -> None:
    assert published.compare(values, 0.97, 0.005, spread=spread).kind == kind


def test_folds_are_compared_by_the_corrected_interval() -> None:
    values = [0.960, 0.970, 0.975, 0.980, 0.965]
    one = published.compare(values, 0.97, 0.001, folds=range(5), test_share=0.25, seeds=[0] * 5)
    assert "n = 5 (only 1 seed)" in one.reason
    plain = published.compare(values, 0.977, 0.001)
    corrected = published.compare(values, 0.977, 0.001, folds=range(5), test_share=0.25)
    assert (plain.kind, corrected.kind) == ("inconclusive", "inconclusive")
    assert published.compare(values, 0.982, 0.001).kind == "below"
    assert published.compare(values, 0.982, 0.001, folds=range(5), test_share=0.25).kind != "below"


def test_crossed_folds_are_compared_by_repeats() -> None:
    folds, seeds = [0, 1, 2] * 3, [0] * 3 + [1] * 3 + [2] * 3
    easy = [0.60, 0.75, 0.90]  # folds differ far more than repeats
    values = [easy[fold] + 0.002 * (seed - 1) for fold, seed in zip(folds, seeds, strict=True)]
    crossed = {"folds": folds, "test_share": 0.5, "seeds": seeds}
    assert published.compare(values, 0.75, 0.005, **crossed).kind == "reproduced"
    assert published.compare(values, 0.73, 0.005, **crossed).kind == "better"
    sure, unsure = (
        published.compare(values, 0.73, 0.005, spread=(sd, 3), **crossed) for sd in (0.001, 0.05)
    )
    assert (sure.kind, unsure.kind) == ("better", "inconclusive")


def test_piczaks_baselines_reach_their_verdicts(tmp_path: Path) -> None:
    """Two repeats on ESC-10, whose folds differ as the published ones do."""
    real = read(ROOT / "config" / "real.yaml")
    data = real["datasets"]["esc10_baselines"] | {"title": "ESC-10", "seeds": [0, 1]}
    above = {"knn": 0.0, "svm": 0.04, "forest": -0.04}
    config = factories.make_config(
        tmp_path,
        embedded=None,
        datasets={"esc10": data},
        models={name: real["models"][name] for name in above},
        recipes={"base": {**factories.make_config(tmp_path).recipes["base"], "select": "last"}},
        ablations={},
        localization={},
        cost={},
    )
    factories.make_results(config)
    for cell in list_cells(config):
        entry = entry_beside(f"piczak-{cell.model}", "ESC-10")
        accuracy = entry.folds[cell.fold] / 100 + above[cell.model] + 0.0005 * cell.seed
        metrics = {"test": {"accuracy": {"value": accuracy}}}
        factories.change_record(config, cell, metrics=metrics, **factories.as_published(entry))
    frame = table(analyse(config))
    figures = frame[frame["section"] == FIGURES].set_index("claim")["verdict"]
    assert figures.to_dict() == {
        "Nearest neighbours on ESC-10, accuracy": "reproduced",
        "Support vector machine on ESC-10, accuracy": "better",
        "Random forest on ESC-10, accuracy": "below",
    }
