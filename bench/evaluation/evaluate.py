"""`python -m bench evaluate CELL`: from a run's scores to its record. Needs no model and no GPU."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.code_digest import stage_digest
from bench.corpora import Corpus, shared_recordings
from bench.corpora.listing import corpus_facts
from bench.data.task import split_corpus
from bench.evaluation import SCHEMA, localization
from bench.evaluation.operating_point import OperatingPoint, published_operating_point
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout
from bench.files import UserError, digest_file, read_json, write_sealed
from bench.metrics import finite_or_none
from bench.metrics.event_scores import score_events
from bench.metrics.events import write_events
from bench.metrics.psds import PSDS1, PSDS2, psds
from bench.metrics.tagging import tagging_metrics
from bench.models.scores import Scores, StoredScores, excludes, read_scores

FAMILIES = {
    "intersection": "intersection_f1",
    "event_based": "event_based_f1",
    "segment_based": "segment_based_f1",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("cell", help="DATASET/MODEL/VARIANT/[foldF-]seedS, as `plan` lists them")


def run(args: argparse.Namespace) -> int:
    """Entry of the verb."""
    settings = folders.load(args.config)
    evaluate_cell(settings, cells.find_cell(settings, args.cell))
    return 0


def evaluate_cell(settings: config.Config, cell: cells.Cell) -> dict[str, Any]:
    """Compute every metric of a run and write record.json (and events.tsv where it localizes).

    Thresholds and filters are chosen on the validation split; the test split is scored once.
    """
    plan, layout = cells.plan(settings, cell), Layout.of(settings)
    folder = layout.run(cell)
    training = read_json(folder / "training.json")
    corpus = split_corpus(plan, layout.corpus(cell.dataset))
    validation = read_scores(folder / "scores.npz", "validation")
    test = read_scores(folder / "scores.npz", "test")
    record = {
        "schema": SCHEMA,
        "key": str(cell),
        "cell": vars(cell),
        "experiment": settings.experiment,
        "data_kind": settings.data_kind(cell.dataset),
        **{
            name: training[name]
            for name in (
                "identity",
                "parent",
                "resolved",
                "config_digest",
                "splits",
                "seeds",
                "provenance",
                "network",
                "parameters",
                "cost",
            )
        },
        "digests": {**training["digests"], "code_evaluate": stage_digest("evaluate")},
        "coverage": {
            "found": corpus.coverage.found,
            "listed": corpus.coverage.listed,
            "excluded": training["excluded"],
            "windowed": training["windowed"],
        },
        "lists": {
            "digest": corpus_facts(layout.corpus(cell.dataset))["lists"],
            "clips": {name: one.listed for name, one in corpus.coverage_by_split().items()},
        },
        "shared_recordings": shared_recordings(corpus),
        "classes": list(corpus.classes),
        "metrics": {
            "validation": tagging(validation, corpus),
            "test": tagging(test, corpus),
        },
        "chance": chance(test, corpus),
    }
    if plan.dataset.localize:
        chosen = settings.localization
        record["digests"]["protocol"] = config.config_digest(chosen)
        hand_set, exclusive = chosen.hand_set.get(cell.model), excludes(plan.dataset.loss)
        located = locate(chosen, corpus, validation, test, hand_set, exclusive)
        record["metrics"]["test"] |= located.pop("metrics")
        write_events(folder / "events.tsv", located.pop("events"), list(test.clip_ids))
        record |= located
    names = ["scores.npz", "metrics.jsonl", *(["events.tsv"] if plan.dataset.localize else [])]
    record["files"] = {name: digest_file(folder / name) for name in names}
    write_sealed(folder / "record.json", record)
    print(summary(record, plan.dataset.metric), flush=True)
    return record


def tagging(stored: StoredScores, corpus: Corpus) -> dict[str, Any]:
    """Clip-level metrics of one split, as JSON values with the number of clips."""
    metrics = tagging_metrics(
        stored.scores.clip_scores, stored.targets, stored.classes, multilabel=corpus.multilabel
    )
    return {name: {**m.to_json(), "n": len(stored.clip_ids)} for name, m in metrics.items()}


def chance(stored: StoredScores, corpus: Corpus) -> dict[str, float]:
    """What a scorer without ears reaches.

    mAP: the mean prevalence of the classes that occur (the expected AP of random scores as the
    number of clips grows). accuracy: one over the number of classes.
    """
    prevalence = stored.targets.mean(axis=0)
    result = {"mAP": float(prevalence[prevalence > 0].mean())}
    if not corpus.multilabel:
        result["accuracy"] = 1.0 / len(stored.classes)
    return result


def locate(
    settings: config.Localization,
    corpus: Corpus,
    validation: StoredScores,
    test: StoredScores,
    hand_set: str | None = None,
    exclusive: bool = False,
) -> dict[str, Any]:
    """Located events of the test split, their metrics, and the trivial baselines beside them.

    Args:
        hand_set: a published list of thresholds that the events are scored at as well, with
            figures of their own.
        exclusive: the scores are of a single-label model, whose events never overlap.

    Raises:
        UserError: the corpus has no events, or the list does not name one of its classes.
    """
    if corpus.events is None:
        raise UserError(
            f"{corpus.name}: no events to localize; set datasets.{corpus.name}.localize to false"
        )
    events_table = corpus.events
    durations = dict(zip(corpus.clips["clip"], corpus.clips["duration_s"], strict=True))
    truth = {
        name: events_table[events_table["filename"].isin(set(stored.clip_ids))]
        for name, stored in (("validation", validation), ("test", test))
    }
    own = {clip: durations[clip] for clip in test.clip_ids}

    def choose(scores: Scores) -> OperatingPoint:
        assert scores.frame_scores is not None
        return localization.choose_operating_point(
            scores.frame_scores,
            scores.seconds_per_frame,
            list(validation.clip_ids),
            truth["validation"],
            durations,
            corpus.classes,
            thresholds=localization.threshold_grid(settings.thresholds),
            median_filters=settings.median_filters,
            criterion=settings.criterion,
            exclusive=exclusive,
            counts=scores.frame_counts,
        )

    def found(scores: Scores, point: OperatingPoint) -> pd.DataFrame:
        assert scores.frame_scores is not None
        return localization.detect(
            scores.frame_scores,
            scores.seconds_per_frame,
            list(test.clip_ids),
            corpus.classes,
            point,
            own,
            scores.frame_counts,
        )

    def scored(events: pd.DataFrame) -> dict[str, Any]:
        by_family = score_events(truth["test"], events, own, corpus.classes)
        return {
            FAMILIES[family]: {"value": values.pop("macro_f1"), **values, "n": len(own)}
            for family, values in by_family.items()
        }

    longest = max(durations.values())  # so that the one frame has one length in both splits
    clip_events = found(
        as_one_frame(test.scores, longest), choose(as_one_frame(validation.scores, longest))
    )
    always = localization.always_active(list(test.clip_ids), corpus.classes, own)
    result: dict[str, Any] = {
        "trivial": {
            "always_active": _macro_values(scored(always)),
            "clip_label": _macro_values(scored(clip_events)),
        },
        "localization": {
            "can_localize": test.scores.frame_scores is not None,
            "operating_point": None,
            "seconds_per_frame": None,
        },
        "metrics": {},
        "events": clip_events.iloc[:0],
    }
    if test.scores.frame_scores is None or validation.scores.frame_scores is None:
        return result
    point = choose(validation.scores)
    events = found(test.scores, point)
    result["localization"] |= {
        "operating_point": point.to_json(),
        "seconds_per_frame": test.scores.seconds_per_frame,
    }
    result["metrics"] = scored(events) | threshold_free(test, truth["test"], own, exclusive)
    if hand_set:
        try:
            listed = published_operating_point(hand_set, corpus.classes, exclusive=exclusive)
        except ValueError as error:
            raise UserError(f"{corpus.name}: localization.hand_set: {error}") from error
        by_list = scored(found(test.scores, listed))
        result["hand_set"] = {"operating_point": listed.to_json(), "metrics": by_list}
    result["events"] = events
    return result


def as_one_frame(scores: Scores, seconds: float) -> Scores:
    """Clip scores as one frame of so many seconds, no less than the longest clip.

    Decided like frames this is the baseline that knows what sounds, but not when: each class above
    its threshold is active from start to end.
    """
    frames = scores.clip_scores[:, None, :]
    return Scores(scores.clip_scores, frames, seconds, np.ones(len(frames), np.int64))


def threshold_free(
    test: StoredScores, truth: pd.DataFrame, durations: Mapping[str, float], exclusive: bool
) -> dict[str, Any]:
    """PSDS in both scenarios, from the frame scores alone: no operating point is needed."""
    frames = test.scores.frame_scores
    assert frames is not None
    if exclusive:
        frames = localization.winning(frames)
    return {
        scenario.name.lower(): {
            **psds(
                frames,
                test.scores.seconds_per_frame,
                list(test.clip_ids),
                truth,
                durations,
                test.classes,
                scenario,
                test.scores.frame_counts,
            ).to_json(),
            "n": len(test.clip_ids),
        }
        for scenario in (PSDS1, PSDS2)
    }


def _macro_values(by_family: dict[str, Any]) -> dict[str, float | None]:
    return {name: finite_or_none(values["value"]) for name, values in by_family.items()}


def summary(record: dict[str, Any], metric: str) -> str:
    """One line: the run and its leading figure."""
    found = record["metrics"]["test"].get(metric)
    return f"{record['key']}: {metric} " + (f"{found['value']:.4f}" if found else "cannot localize")
