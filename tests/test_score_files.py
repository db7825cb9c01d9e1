"""`bench score`: event tables, their errors, and what is printed."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from factories import ROOT

from bench.evaluation.score import add_arguments, run, score_files
from bench.files import UserError
from bench.metrics.events import read_durations, read_events, write_events

HEADER = "filename\tonset\toffset\tevent_label\n"
REFERENCE = HEADER + "a.wav\t0.0\t1.0\tCat\nb.wav\t2.0\t3.5\tDog\n"
DURATIONS = "filename\tduration\na.wav\t10.0\nb.wav\t10.0\nc.wav\t4.2\n"
KNOWN = {"a.wav": 10.0, "b.wav": 10.0}


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def arguments(tmp_path):
    paths = [
        "--reference",
        str(written(tmp_path, "reference.tsv", REFERENCE)),
        "--predictions",
        str(written(tmp_path, "predictions.tsv", HEADER + "a.wav\t0.1\t1.1\tCat\nc.wav\t\t\t\n")),
        "--durations",
        str(written(tmp_path, "durations.tsv", DURATIONS)),
    ]
    return paths


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_json_has_all_families(arguments, capsys):
    assert run(parsed([*arguments, "--json"])) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["intersection"]["macro_f1"] == result["event_based"]["macro_f1"] == 0.5
    assert result["segment_based"]["macro_f1"] == pytest.approx(1 / 3)
    for family in ("intersection", "event_based", "segment_based"):
        assert set(result[family]["per_class"]) == {"Cat", "Dog"}
        assert {"implementation", "version", "parameters"} <= set(result[family])
    assert result["files"] == 3


def test_the_table_is_readable(arguments, capsys):
    assert run(parsed(arguments)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 files, 2 reference events, 1 predicted; F1 in %"
    assert lines[3].split() == ["Cat", "100.0", "100.0", "66.7"]
    assert lines[5].split() == ["macro", "mean", "50.0", "50.0", "33.3"]


def test_labels_that_the_reference_lacks_and_late_events_are_named(tmp_path):
    result = score_files(
        written(tmp_path, "r.tsv", REFERENCE),
        written(tmp_path, "p.tsv", HEADER + "c.wav\t9.0\t9.5\tCow\n"),
        written(tmp_path, "d.tsv", DURATIONS),
    )
    assert "Cow" in result["warnings"][1]
    assert result["warnings"][0].startswith("1 of 1 predicted events start after")
    assert result["intersection"]["per_class"] == {"Cat": 0, "Cow": None, "Dog": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename\tonset\tevent_label\na.wav\t0\tCat\n", "line 1: column 'offset' is missing"),
        (REFERENCE.replace("\t", ","), "line 1: .* commas where tabs"),
        (REFERENCE.replace("\t", ";"), "line 1: .* semicolons where tabs"),
        (HEADER + "a.wav,0.0,1.0,Cat\n", "line 2: 1 fields"),
        (HEADER + "a.wav\t2.0\t1.0\tCat\n", "line 2: offset 1.0 lies before onset 2.0"),
        (HEADER + "a.wav\t0\t1\tCat\nz.wav\t0\t1\tCat\n", "line 3: file 'z.wav' is not in"),
        (HEADER + "a.wav\tnan\t1.0\tCat\n", "line 2: onset .*nan"),
        (HEADER + "a.wav\t0.0\tinf\tCat\n", "line 2: offset .*inf"),
        (HEADER + "a.wav\t\t1.0\tCat\n", "line 2: '' in column onset"),
        (HEADER + "a.wav\t0,5\t1.0\tCat\n", "line 2: '0,5' in column onset"),
        (HEADER + "a.wav\t-0.5\t1.0\tCat\n", "line 2: onset -0.5 is negative"),
        (HEADER + "a.wav\t0.5\t1.0\t\n", "line 2: event_label is empty"),
        (HEADER + "\t0.5\t1.0\tCat\n", "line 2: filename is empty"),
        (
            HEADER + "a.wav\t0\t1\tCat\n\nb.wav\t0\t1\tCat\na.wav\t0.0\t1.0\tCat\n",
            "5: repeats line 2",
        ),
        (HEADER + "a.wav\t\t\t\na.wav\t\t\t\n", "line 3: repeats line 2"),
        (HEADER + "a.wav\t0\t1\n", "line 2: 3 fields"),
        ("", "line 1: columns .* missing"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_malformed_tables_name_file_line_and_remedy(tmp_path, text, message):
    path = written(tmp_path, "events.tsv", text)
    with pytest.raises(UserError, match=message) as caught:
        read_events(path, KNOWN)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename\tseconds\na.wav\t1\n", "line 1: column 'duration' is missing"),
        ("filename\tduration\na.wav\t0\n", "line 2: duration 0 of a.wav is not positive"),
        ("filename\tduration\na.wav\tNaN\n", "line 2: duration .*NaN"),
        ("filename\tduration\na.wav\t1\na.wav\t2\n", "line 3: a.wav has a duration of 2 here"),
        ("filename\tduration\n", "lists no files"),
    ],
)
def test_malformed_durations_name_file_line_and_remedy(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_durations(written(tmp_path, "durations.tsv", text))


def test_a_file_may_be_listed_again_with_the_same_duration(tmp_path):
    text = "filename\tduration\na.wav\t1.5\nb.wav\t2\na.wav\t1.50\n"
    assert read_durations(written(tmp_path, "durations.tsv", text)) == {"a.wav": 1.5, "b.wav": 2.0}


PREDICTED = HEADER + "a.wav\t1\t2\tCat\nb.wav\t2\t3\tDog\n"


@pytest.mark.parametrize("kind", ["reference", "predicted"])
@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ("a.wav\t1000\t2000\tCat\nb.wav\t2000\t3000\tDog\n", [("2 of 2", "start after")]),
        ("a.wav\t1\t2\tCat\nb.wav\t2\t3000\tDog\n", [("1 of 2", "end more than 1 s after")]),
        ("a.wav\t10.0\t11.5\tCat\nb.wav\t9\t11.5\tDog\n",
         [("1 of 2", "start after"), ("1 of 2", "end more than 1 s after")]),
        ("a.wav\t1\t2\tCat\nb.wav\t9\t10.9\tDog\n", []),
    ],
)  # fmt: skip
def test_times_outside_their_file_are_noted_in_either_table(tmp_path, kind, rows, notes):
    tables = {"reference": PREDICTED, "predicted": PREDICTED, kind: HEADER + rows}
    result = score_files(
        written(tmp_path, "r.tsv", tables["reference"]),
        written(tmp_path, "p.tsv", tables["predicted"]),
        written(tmp_path, "d.tsv", DURATIONS),
    )
    assert len(result["warnings"]) == len(notes)
    for warning, (count, where) in zip(result["warnings"], notes, strict=True):
        assert warning.startswith(f"{count} {kind} events {where}")


@pytest.mark.parametrize(("unit", "noted"), [(1, False), (1000, True), (16_000, True)])
def test_tables_that_are_all_in_another_unit_are_noted(tmp_path, unit, noted):
    def scaled(text):
        return re.sub(r"(?<=\t)\d+(\.\d+)?", lambda found: str(float(found[0]) * unit), text)

    result = score_files(
        written(tmp_path, "r.tsv", scaled(REFERENCE)),
        written(tmp_path, "p.tsv", scaled(PREDICTED)),
        written(tmp_path, "d.tsv", scaled(DURATIONS)),
    )
    assert [text for text in result["warnings"] if "in seconds?" in text] == result["warnings"]
    assert len(result["warnings"]) == noted


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_events(tmp_path / "absent.tsv", KNOWN)


def test_byte_order_mark_line_ends_column_order_and_extra_columns_are_accepted(tmp_path):
    text = "event_label\tfilename\tonset\toffset\tnote\r\nCat\ta.wav\t0.5\t1\tloud\r\n"
    events = read_events(written(tmp_path, "e.tsv", b"\xef\xbb\xbf" + text.encode()), KNOWN)
    assert events.to_dict("records") == [
        {"filename": "a.wav", "onset": 0.5, "offset": 1.0, "event_label": "Cat"}
    ]


def test_what_is_written_reads_back_equal(tmp_path):
    events = pd.DataFrame(
        [("a.wav", 1 / 3, 2 / 3, "Cat")], columns=["filename", "onset", "offset", "event_label"]
    )
    write_events(tmp_path / "e.tsv", events, files=list(KNOWN))
    pd.testing.assert_frame_equal(read_events(tmp_path / "e.tsv", KNOWN), events)
    assert (tmp_path / "e.tsv").read_text().splitlines()[-1] == "b.wav\t\t\t"


def test_a_malformed_file_ends_the_command_with_code_2_and_one_line(tmp_path, arguments):
    arguments[3] = str(written(tmp_path, "bad.tsv", HEADER + "a.wav\t3\t1\tCat\n"))
    done = subprocess.run(
        [sys.executable, "-m", "bench", "score", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "bad.tsv, line 2: offset 1 lies before onset 3" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
