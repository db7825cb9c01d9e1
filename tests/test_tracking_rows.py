"""What is written into MLflow's tables reads back as if MLflow's public client had written it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories import make_config, make_results, make_small_config, record_values

from bench.experiment.cells import Layout, list_cells
from bench.experiment.config import Config
from bench.files import write_json_lines
from bench.results.record import Record
from bench.tracking import notes, rows
from bench.tracking.store import Store, send
from bench.tracking.views import Change, Tracked, TrackedGroup, TrackedRecord


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = make_small_config(tmp_path, seeds=(0, 1))
    make_results(config)
    for cell in list_cells(config):
        samples = [{"seconds": s, "cpu_utilization_percentage": 9.0 * s} for s in (0.5, 2.5)]
        write_json_lines(Layout.of(config).run(cell) / "system.jsonl", samples)
    return config


def items(config: Config) -> list[Tracked]:
    """A parent run and its two records."""
    layout = Layout.of(config)
    chosen = [cell for cell in list_cells(config) if cell.model == "htsat"]
    records = [TrackedRecord(config, cell, layout.run(cell), "code") for cell in chosen]
    assert len(records) == 2
    return [TrackedGroup("esc50/htsat/base", "accuracy", records), *records]


def read_back(store: Store, run_id: str) -> dict[str, Any]:
    """All that the public client tells of a run, except for its id."""
    run = store.client.get_run(run_id)
    history = {
        name: sorted(
            (point.step, point.timestamp, point.value)
            for point in store.client.get_metric_history(run_id, name)
        )
        for name in run.data.metrics
    }
    info = (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time)
    return {
        "info": (*info, run.info.lifecycle_stage),
        "latest": run.data.metrics,
        "history": history,
        "params": run.data.params,
        "tags": run.data.tags,
    }


def test_rows_read_back_as_the_clients_own(config: Config) -> None:
    store, chosen = Store(config), items(config)
    experiment = store.experiment("esc50")
    by_rows = {store.add(experiment, item): item for item in chosen}
    tags = {run_id: {**item.tags(), "mine": "ä'\"%"} for run_id, item in by_rows.items()}
    rows.fill(store.database, by_rows, tags)
    for run_id, item in by_rows.items():
        by_client = store.add(experiment, item)
        send(store.client, by_client, item, tags[run_id])
        written = read_back(store, run_id)
        assert written == read_back(store, by_client)
        assert {"test_accuracy", "parameters"} <= set(written["latest"])
        assert len(written["params"]) > 10
    assert len(written["history"]["curve_train_loss"]) > 2
    assert len(written["history"]["system/cpu_utilization_percentage"]) == 2


def test_parameters_are_what_defaults_resolve_to_and_each_run_is_described(tmp_path: Path) -> None:
    config = make_small_config(tmp_path, seeds=(0, 1))
    arguments = {model: config.models[model].arguments for model in config.models}
    assert "window_size" not in arguments["htsat"]
    paper = config.models["htsat"].model_copy(update={"arguments": {"preset": "paper"}})
    config = config.model_copy(update={"models": {**config.models, "htsat": paper}})
    make_results(config)
    for item in items(config):
        parameters = item.parameters()
        assert parameters["model.window_size"] == "8"
        assert parameters["recipe.optimizer"] == "adamw"  # no key of the experiment either
        assert not {"unknown", ""} & set(parameters.values())
        described = item.tags()["mlflow.note.content"]
        assert f"python -m bench explain {item.key}" in described
        assert f"{100 * item.figures()['test_accuracy']:.1f} %" in described


def test_every_address_of_files_moves_and_no_other(config: Config, tmp_path: Path) -> None:
    from mlflow.entities import LoggedModelStatus

    store = Store(config)
    inside = store.experiment("esc50")
    outside = store.client.create_experiment(
        "other", (tmp_path / "results-2" / "mlartifacts").as_uri()
    )
    runs = [store.client.create_run(experiment).info.run_id for experiment in (inside, outside)]
    model = store.client.create_logged_model(inside, "net", runs[0])
    store.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    store.client.create_registered_model("registered")
    store.client.create_model_version("registered", model.artifact_location)

    def addresses() -> list[str]:
        client = store.client
        return [
            client.get_experiment(inside).artifact_location,
            client.get_run(runs[0]).info.artifact_uri,
            client.get_logged_model(model.model_id).artifact_location,
            client.get_model_version_download_uri("registered", "1"),
            client.get_experiment(outside).artifact_location,
            client.get_run(runs[1]).info.artifact_uri,
        ]

    before, old = addresses(), (tmp_path / "results").as_uri()
    rows.move(store.database, old, "file:///new%20place")
    after = addresses()
    assert all(place.startswith(f"{old}/") for place in before[:4])
    assert after[:4] == [place.replace(old, "file:///new%20place") for place in before[:4]]
    assert after[4:] == before[4:]


def test_a_variant_that_localizes_has_a_reference_that_does_not(tmp_path: Path) -> None:
    values = record_values()
    values["cell"] |= {"dataset": "desed", "model": "pann", "variant": "decision_max"}
    settings = make_config(tmp_path)
    assert settings.datasets["desed"].metric == "intersection_f1"
    figures = {"test_intersection_f1": 0.3, "test_mAP": 0.5}
    figures |= {"reference_test_mAP": 0.4, "change_test_mAP": 0.1}
    change = Change("decision", "base", "a linear head")
    note = notes.of_group(settings, [Record.model_validate(values)], figures, change)
    (row,) = (line for line in note.splitlines() if line.startswith("| intersection F1"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["30.0 %", "", "", ""]
