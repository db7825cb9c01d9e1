"""The `rescore` target on files in the layout of the HTS-AT repository, written here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import factories
import pandas as pd
import pytest
from http_server import Server, whole

from bench import __main__ as cli
from bench.evaluation.rescore import output, rescore
from bench.experiment import config
from bench.experiment.config import Rescore
from bench.experiment.extends import read
from bench.files import UserError, read_json, write_json
from bench.reporting.build import build
from bench.reporting.rescored import meaning, rescore_table
from bench.results import published, rescored
from bench.results.measured import Rescored
from bench.sources import fetch
from bench.sources.source import Source

ROOT = Path(__file__).resolve().parent.parent
HEADER = "filename\tonset\toffset\tevent_label\n"
STEP = 10 / 32  # the authors' events lie on a grid of 0.3125 s
FILES = {
    "answer_meta.tsv": "filename\tduration\nx_0_10.wav\t10.0\ny_0_4.wav\t4.17453125\nz.wav\t10.0\n",
    "answer.tsv": HEADER
    + "x_0_10.wav\t0.4\t3.0\tDog\nx_0_10.wav\t5.0\t9.0\tSpeech\ny_0_4.wav\t1.0\t2.0\tDog\n",
    # One dog exactly on its collars, one far too long; half of the speech; a false alarm in z.
    "htsat-test_outputmap.tsv": HEADER
    + f"x_0_10.wav\t{STEP}\t{9 * STEP}\tDog\nx_0_10.wav\t{20 * STEP}\t{28 * STEP}\tSpeech\n"
    + f"y_0_4.wav\t0.0\t{13 * STEP}\tDog\nz.wav\t0.0\t{STEP}\tSpeech\n",
    "htsat-test-ensemble_outputmap.tsv": HEADER
    + f"x_0_10.wav\t{STEP}\t{9 * STEP}\tDog\nx_0_10.wav\t{16 * STEP}\t{29 * STEP}\tSpeech\n"
    + f"y_0_4.wav\t{3 * STEP}\t{7 * STEP}\tDog\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The four files of the authors' heatmap_output folder."""
    path = tmp_path / "heatmap_output"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def test_a_local_folder_is_scored_class_by_class(folder: Path) -> None:
    systems = rescore(folder, url=None).systems
    single = systems["single"]
    # Dog: one found, one false (1.0 of 4.06 s) and missed: 2 / (2 + 1 + 1). Speech: found, and
    # one false alarm: 2 / (2 + 1). By collars only the first dog fits.
    assert single.intersection.per_class == pytest.approx({"Dog": 0.5, "Speech": 2 / 3})
    assert single.event_based.per_class == pytest.approx({"Dog": 0.5, "Speech": 0.0})
    ensemble = systems["ensemble"]
    assert ensemble.intersection.macro_f1 == 1
    assert ensemble.event_based.per_class == pytest.approx({"Dog": 1.0, "Speech": 1.0})


def test_the_files_come_from_an_address_once(server: Server, tmp_path: Path) -> None:
    places = [server.url(f"/{name}", whole(text.encode())) for name, text in FILES.items()]
    wanted = tmp_path / "cache", places[0].rpartition("/")[0]
    assert rescore(*wanted) == rescore(*wanted)
    assert sorted(path for path, _ in server.requests) == sorted(f"/{name}" for name in FILES)


def test_missing_and_malformed_files_are_named(folder: Path) -> None:
    path = folder / "htsat-test_outputmap.tsv"
    path.write_text(HEADER + "x_0_10.wav\t3\t1\tDog\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"htsat-test_outputmap\.tsv, line 2: offset 1 lies before"):
        rescore(folder, url=None)
    path.unlink()
    with pytest.raises(UserError, match=r"htsat-test_outputmap\.tsv: no such file; put"):
        rescore(folder, url=None)


def test_without_network_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(source: Source, path: Path) -> None:
        raise fetch.FetchError(f"{path.name}: no source gave it")

    monkeypatch.setattr(fetch, "fetch", nothing)
    with pytest.raises(UserError, match=r"answer\.tsv: .*put the authors' .* --folder FOLDER"):
        rescore(tmp_path / "cache")


def test_the_full_size_experiment_rescores_with_what_was_released(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = read(ROOT / "config" / "paper.yaml")
    values["paths"] = {name: str(tmp_path / name) for name in ("work", "results", "report")}
    path = tmp_path / "paper.json"
    write_json(path, values)
    assert config.load(path).rescore == Rescore()
    assert cli.main(["rescore", "--config", str(path), "--folder", str(folder)]) == 0
    assert cli.main(["report", "--released", "--config", str(path)]) == 0
    assert "scored again (published files)" in capsys.readouterr().out
    assert (tmp_path / "report" / "tables" / "rescore.tex").is_file()
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "released"]
    done = subprocess.run(
        [*command, "--configfile", str(ROOT / "config" / "paper.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "score the published predictions" in done.stdout, done.stderr


def test_the_verb_writes_what_the_report_shows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = factories.make_config(tmp_path / "experiment", seeds=(0,))
    path = tmp_path / "experiment.json"
    write_json(path, config.model_dump(mode="json"))
    assert cli.main(["rescore", "--config", str(path), "--folder", str(folder)]) == 0
    assert "single: macro F1 in %: intersection 58.33, event_based 25.00" in capsys.readouterr().out
    assert read_json(output(config))["files"].keys() == FILES.keys()
    factories.make_inputs(config)
    factories.make_run(config, factories.list_cells(config)[0])
    page = build(config)
    table = pd.read_csv(page.parent / "tables" / "rescore.csv").set_index(["section", "class"])
    (single,) = {section for section, _ in table.index if "(HCP)" in section}
    assert table.loc[(single, "macro mean"), "intersection_percent"] == pytest.approx(58.3333333)
    # Three clips are not the public evaluation list.
    assert table["published_percent"].isna().all()
    assert set(table["comparison"]) == {"no published figure"}
    assert "not DESED-public-eval: 3 instead of 692 clips" in page.read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert "psds_eval's intersection rule" in text.replace("&#39;", "'")
    assert 'id="from-rescore_2e_json"' in text


def test_scores_against_the_public_list_stand_beside_the_paper(folder: Path) -> None:
    found = rescore(folder, url=None).model_dump()
    for scores in found["systems"].values():
        scores |= {"files": 692, "reference_events": 2765}
    scored = Rescored.model_validate(found)
    rows = {(row.section, row.label): row.entries for row in rescore_table(scored).rows}
    (single,) = {section for section, _ in rows if "(HCP)" in section}
    assert rows[single, "macro mean"]["published_percent"].value == pytest.approx(0.484)
    assert rows[single, "Dog"]["comparison"].words == "differs by +2.00 points"
    found["systems"]["single"]["reference_events"] = 2764
    scored = Rescored.model_validate(found)
    assert "not DESED-public-eval: 2,764 instead of 2,765 events" in meaning(scored)


def test_a_figure_that_rounds_to_the_printed_one_is_reproduced() -> None:
    single, ensemble = rescored.paper("single"), rescored.paper("ensemble")
    assert single is not None
    assert ensemble is not None
    # The macro means of the authors' files, known to two digits, and the paper's one digit.
    assert rescored.agrees(0.4842, single.figure("intersection_f1"))
    assert rescored.agrees(0.5067, ensemble.figure("intersection_f1"))
    assert not rescored.agrees(0.4832, single.figure("intersection_f1"))
    rows = [entry.rescored for entry in published.load() if entry.rescored]
    assert sorted(rows) == ["ensemble", "single"]
