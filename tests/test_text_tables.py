"""Tables of text: names stay what they are, wherever one is written or read."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.corpora import desed, load, open_corpus, save, soundscapes
from bench.corpora.base import assemble
from bench.evaluation.score import score_files
from bench.files import UserError
from bench.metrics.events import EVENT_COLUMNS, events_table, read_events, write_events
from bench.reporting.tables import Row as ReportRow
from bench.reporting.tables import Table, to_csv
from bench.tagging import shown
from bench.text_tables import line_of, records, rows, text_of
from synth import write_desed
from synth.scenes import Event

LABELS = (
    *("007", "NA", "None", "nan", "null", "#N/A", "1e5", "True", "-0", " x", "x ", "x", "#1", "ä"),
    *('"quoted"', 'say "so"', '5"', "it's", "a,b", "a|b", "a;b", "a\tb", "a\nb", "a\r\nb"),
)
FILE = "007"  # the name of a file, which looks like a number as well
SEPARATORS = st.sampled_from("\t,;|")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@given(SEPARATORS, st.lists(st.lists(TEXT, min_size=3, max_size=3).filter(any), max_size=4))
def test_values_come_back_and_other_readers_find_them_too(
    tmp_path_factory: Any, separator: str, values: list[list[str]]
) -> None:
    table = [["first", "second", "third"], *values]
    text = text_of(table, separator)
    path = written(tmp_path_factory.getbasetemp() / "table.txt", text)
    assert [found for _, found in records(path, separator)] == table
    assert list(csv.reader(io.StringIO(text, newline=""), delimiter=separator)) == table


@given(SEPARATORS, st.lists(TEXT.filter(bool), max_size=4))
def test_a_list_of_names_fits_into_one_value(
    tmp_path_factory: Any, separator: str, names: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "list.tsv"
    written(path, text_of([("file", "names"), ("a", line_of(names, separator))]))
    (row,) = rows(path, ("names",), separator="\t")
    assert row.several("names", separator) == names


def test_ordinary_tables_are_written_as_ever(tmp_path: Path) -> None:
    times = np.random.default_rng(0).uniform(0, 1e3, 50) ** 3
    events = events_table((f"{n}.wav", t, t + 1 / 3, "a, b") for n, t in enumerate(times))
    write_events(tmp_path / "e.tsv", events)
    assert (tmp_path / "e.tsv").read_text() == events.to_csv(sep="\t", index=False)


def test_blanks_count_in_quotes_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", '\ufeffa , b\r\n 1 ," x "\r\n\r\n"2", "say ""so"""\r\n')
    found = [(row.line, row["a"], row["b"]) for row in rows(path, ("a", "b"))]
    assert found == [(2, "1", " x "), (4, "2", 'say "so"')]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n"x\ny",1\n\n"z,2\nw,3\n', 5),
        ('a,b\n"x"y,1\n', 2),
        ("a,b\n\n1,2,3\n", 3),
        ("\na,c\n1,2\n", 2),
        ("a,b,b\n1,2,3\n", 1),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    path = written(tmp_path / "t.csv", text)
    with pytest.raises(UserError) as refused:
        list(rows(path, ("a", "b")))
    assert str(refused.value).startswith(f"{path}, line {line}: ")


# --- every table that holds labels -----------------------------------------------------------


def all_events() -> pd.DataFrame:
    return events_table((FILE, float(n), n + 1 / 3, label) for n, label in enumerate(LABELS))


def test_labels_survive_in_saved_corpora(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"sound")
    plain = {"start_s": 0.0, "duration_s": 99.0, "split": "train", "fold": 3, "strong": True}
    clips = [
        plain | {"clip": name, "path": path, "group": name, "labels": list(LABELS)}
        for name, path in ((FILE, FILE), ("NA", ""))
    ]
    corpus = assemble(
        "mine", tmp_path, LABELS, pd.DataFrame(clips),
        multilabel=True, synthetic=False, events=all_events(),
    )  # fmt: skip
    corpus = save(corpus, tmp_path / "saved")
    opened = open_corpus(tmp_path / "saved")
    assert corpus.events is not None
    assert opened.events is not None
    pd.testing.assert_frame_equal(opened.events, corpus.events, check_exact=True)
    pd.testing.assert_frame_equal(opened.missing, corpus.missing)
    assert opened.missing["labels"].tolist() == [list(LABELS)]


def test_labels_survive_in_lists_of_events(tmp_path: Path) -> None:
    write_events(tmp_path / "e.tsv", all_events(), files=["NA"])
    found = read_events(tmp_path / "e.tsv", {FILE: 99.0, "NA": 1.0})
    pd.testing.assert_frame_equal(found, all_events(), check_exact=True)
    durations = written(tmp_path / "d.tsv", f"filename\tduration\n{FILE}\t99\nNA\t1\n")
    scored = score_files(tmp_path / "e.tsv", tmp_path / "e.tsv", durations)
    assert scored["event_based"]["per_class"] == dict.fromkeys(sorted(LABELS), 1.0)


def test_labels_survive_in_the_layout_of_desed(tmp_path: Path) -> None:
    """Both writers of it, the mixer of soundscapes and the builder, and the loader."""
    mixed = [("1.wav", f"{n}.000", f"{n + 1}.000", label) for n, label in enumerate(LABELS)]
    made = [Event(label, 1000 * n, 1000 * (n + 1)) for n, label in enumerate(LABELS)]
    spec: Any = SimpleNamespace(path="a/1.wav", seconds=2.0)
    built = write_desed._tables({"weak": [spec], "strong": [spec]}, {"a/1.wav": made})
    tables = {path.rpartition("/")[2]: text for path, text in built.items()}
    for text in (text_of(soundscapes._weak(mixed)), tables["weak.tsv"]):
        path = written(tmp_path / "weak.tsv", text)
        found = desed._weak(desed._rows(path, desed.WEAK_COLUMNS, {}), LABELS)
        assert found == {"1.wav": sorted(LABELS)}
    for text in (text_of([EVENT_COLUMNS, *mixed]), tables["soundscapes.tsv"]):
        events: list[tuple[str, float, float, str]] = []
        path = written(tmp_path / "strong.tsv", text)
        desed._strong(desed._rows(path, EVENT_COLUMNS, {}), LABELS, events)
        assert [event[3] for event in events] == list(LABELS)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_labels_survive_in_a_table_of_ones_own(tmp_path: Path, separator: str) -> None:
    clips, events = [("file", "label", "split")], [EVENT_COLUMNS]
    for number, label in enumerate(LABELS):
        for split in ("train", "validation", "test"):
            name = f"{number}{split}.wav"
            soundfile.write(tmp_path / name, np.ones(100), 100)
            clips.append((name, label, split))
            events.append((name, "0", "1", label))
    written(tmp_path / "clips.csv", text_of(clips, separator))
    written(tmp_path / "events.csv", text_of(events, separator))
    corpus = load(
        "table", tmp_path, table="clips.csv", events="events.csv",
        columns={"path": "file", "label": "label", "split": "split"},
    )  # fmt: skip
    assert set(corpus.classes) == set(LABELS)
    assert corpus.events is not None
    assert set(corpus.events["event_label"]) == set(LABELS)


def test_labels_survive_in_the_csv_of_tag_and_of_a_report(tmp_path: Path) -> None:
    event = SimpleNamespace(label=" x", onset=0.0, offset=1.0, score=0.5)
    tagged: Any = SimpleNamespace(
        audio=" a.wav",
        clip_scores=np.linspace(1, 0, len(LABELS)),
        card=SimpleNamespace(classes=LABELS),
        events=[event],
    )
    with shown.table(tmp_path / "tags.csv") as write:
        write(tagged, argparse.Namespace(top=len(LABELS)), False)
    found = list(rows(tmp_path / "tags.csv", shown.COLUMNS))
    assert [row["label"] for row in found] == [*LABELS, " x"]
    assert {row["recording"] for row in found} == {" a.wav"}
    table = Table("t", "", "", (), [ReportRow(label, {}) for label in LABELS])
    lines = list(csv.reader(io.StringIO(to_csv(table), newline="")))
    assert [line[1] for line in lines[1:]] == list(LABELS)
