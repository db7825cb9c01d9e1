"""`python -m bench evaluate RUN`: from a run's scores to its record. Needs no model and no GPU."""

from __future__ import annotations

import argparse
from typing import Any

from bench.code_digest import stage_digest
from bench.corpora import Corpus, shared_recordings
from bench.corpora.listing import corpus_facts
from bench.data.task import split_corpus
from bench.evaluation.locate import locate, mean_psds1
from bench.experiment import cells, config, folders
from bench.experiment.cells import Layout
from bench.files import digest_file
from bench.metrics.events import write_events
from bench.metrics.tagging import tagging_metrics
from bench.models.scores import StoredScores, excludes, read_scores
from bench.results.record import Record
from bench.results.training import Made, Training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", help="DATASET/MODEL/VARIANT/[foldF-]seedS, as `plan` lists them")


def run(args: argparse.Namespace) -> int:
    settings = folders.load(args.config)
    evaluate_cell(settings, cells.find_cell(settings, args.cell))
    return 0


def evaluate_cell(settings: config.Config, cell: cells.Cell) -> Record:
    """Compute every metric of a run and write record.json (and events.tsv where it localizes).

    Thresholds and filters are chosen on the validation split; the test split is scored once.
    """
    plan, layout = cells.plan(settings, cell), Layout.of(settings)
    folder = layout.run(cell)
    training = Training.read(folder / "training.json")
    corpus = split_corpus(plan, layout.corpus(cell.dataset))
    validation = read_scores(folder / "scores.npz", "validation")
    test = read_scores(folder / "scores.npz", "test")
    metrics = {"validation": tagging(validation, corpus), "test": tagging(test, corpus)}
    digests = {**training.digests.known, "code_evaluate": stage_digest("evaluate")}
    names, located = ["scores.npz", "metrics.jsonl"], {}
    if plan.dataset.localize:
        chosen = settings.localization
        digests["protocol"] = config.config_digest(chosen)
        hand_set, exclusive = chosen.hand_set.get(cell.model), excludes(plan.dataset.loss)
        located = locate(chosen, corpus, validation, test, hand_set, exclusive)
        metrics["test"] |= located.pop("metrics")
        if plan.dataset.metric == "psds1_macro" and test.scores.frame_scores is not None:
            metrics["test"]["psds1_macro"] = mean_psds1(test, corpus)
        write_events(folder / "events.tsv", located.pop("events"), list(test.clip_ids))
        names.append("events.tsv")
    record = Record.model_validate(
        {
            **{name: getattr(training, name) for name in Made.model_fields},
            "cell": cell,
            "experiment": settings.experiment,
            "data_kind": settings.data_kind(cell.dataset),
            "digests": digests,
            "coverage": {
                "found": corpus.coverage.found,
                "listed": corpus.coverage.listed,
                "excluded": training.excluded,
                "windowed": training.windowed,
            },
            "lists": {
                "digest": corpus_facts(layout.corpus(cell.dataset))["lists"],
                "clips": {name: one.listed for name, one in corpus.coverage_by_split().items()},
            },
            "shared_recordings": shared_recordings(corpus),
            "classes": corpus.classes,
            "metrics": metrics,
            "chance": chance(test, corpus),
            "files": {name: digest_file(folder / name) for name in names},
            **located,
        }
    )
    record.write(layout.record(cell))
    print(summary(record, plan.dataset.metric), flush=True)
    return record


def tagging(stored: StoredScores, corpus: Corpus) -> dict[str, Any]:
    """Clip-level metrics of one split, as JSON values with the number of clips."""
    metrics = tagging_metrics(
        stored.scores.clip_scores, stored.targets, stored.classes, multilabel=corpus.multilabel
    )
    return {name: {**m.to_json(), "n": len(stored.clip_ids)} for name, m in metrics.items()}


def chance(stored: StoredScores, corpus: Corpus) -> dict[str, float]:
    """What random scores reach.

    mAP: the mean prevalence of the classes that occur (the expected AP of random scores as the
    number of clips grows). accuracy: one over the number of classes.
    """
    prevalence = stored.targets.mean(axis=0)
    result = {"mAP": float(prevalence[prevalence > 0].mean())}
    if not corpus.multilabel:
        result["accuracy"] = 1.0 / len(stored.classes)
    return result


def summary(record: Record, metric: str) -> str:
    """One line: the run and its leading figure."""
    found = record.metrics.test.get(metric)
    if found is None or found.value is None:
        return f"{record.key}: {metric} cannot localize"
    return f"{record.key}: {metric} {100 * found.value:.1f} %"
