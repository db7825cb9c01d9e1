"""Clips out of HDF5 packs, parquet shards and YouTube end where the loaders look for them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
from test_corpora_loaders import audioset_root, desed_root  # noqa: F401 - fixtures

from bench.audio.decode import AudioError, decode
from bench.corpora import audioset, desed, load
from bench.files import UserError
from bench.sources import parquet, youtube
from bench.sources.clips import Absent, suffix_of
from bench.sources.registry import Parquet
from bench.strict import parse

RATE = 32_000


def tone(seconds: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def write_pack(path: Path, clips: dict[str, np.ndarray | None], dtype: type = np.int16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as pack:
        pack.attrs["sample_rate"] = RATE
        names = [name.encode() for name in clips]
        length = max(len(wave) for wave in clips.values() if wave is not None)
        rows = np.zeros((len(clips), length))
        for row, wave in zip(rows, clips.values(), strict=True):
            row[: 0 if wave is None else len(wave)] = 0 if wave is None else wave
        scale = 32767 if dtype is np.int16 else 1
        pack["audio_name"] = np.array(names, dtype="S20")
        pack["waveform"] = (rows * scale).astype(dtype)
        pack["target"] = np.array([[wave is not None] for wave in clips.values()])


@pytest.fixture
def lists(audioset_root: Path) -> Path:  # noqa: F811
    """AudioSet's lists, with the audio of two clips alone."""
    keep = ("Y--4gqARaEJE.wav", "YabcdefghiJ_30_40.wav")
    for path in (audioset_root / "audio").rglob("*.*"):
        if path.name not in keep:
            path.unlink()
    return audioset_root


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_packs_are_read_like_files(lists: Path, dtype: type) -> None:
    pack = lists / "packs" / "waveforms" / "eval.h5"
    second = tone(10.0, hz=880.0)
    clips = {"Y__eval____1.wav": tone(10.0), "Yeval_____12.wav": second, "Ymissing_id1.wav": None}
    write_pack(pack, clips, dtype)
    corpus = load("audioset", lists, audio="audio", packs="packs", validation_share=0)
    table = corpus.clips.set_index("clip")
    assert table.loc["eval_____12", "path"] == "../packs/waveforms/eval.h5"
    assert tuple(table.loc["eval_____12", ["start_s", "duration_s"]]) == (10.0, 10.0)
    assert table.loc["--4gqARaEJE", "path"] == "train/Y--4gqARaEJE.wav"  # a file comes first
    assert "missing_id1" in set(corpus.missing["clip"])  # zeros without labels are no clip
    place = table.loc["eval_____12"]
    audio = decode(
        corpus.root / place["path"], RATE, start_s=place["start_s"], duration_s=place["duration_s"]
    )
    assert audio.source_rate == RATE
    assert np.abs(audio.samples - second).max() < 1e-4


def test_what_is_no_pack_is_named(lists: Path) -> None:
    pack = lists / "packs" / "bad.h5"
    pack.parent.mkdir()
    pack.write_bytes(b"no HDF5")
    with pytest.raises(UserError, match=r"bad\.h5: not a pack of AudioSet clips"):
        load("audioset", lists, packs="packs")
    with pytest.raises(AudioError, match="not a pack"):
        decode(pack, RATE)
    write_pack(pack, {"Y__eval____1.wav": tone()})
    with pytest.raises(AudioError, match=r"no clip at 70\.0 s"):
        decode(pack, RATE, start_s=70.0)


def flac(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC")
    return file.getvalue()


@pytest.fixture
def mirror(tmp_path: Path) -> Parquet:
    """Two shards of training clips and one of evaluation clips, as the public mirror has them."""
    folder = tmp_path / "mirror"
    shards = {
        "bal_train/00": {"-0RWZT-miFs": flac(tone()), "elsewhere01": flac(tone())},
        "bal_train/01": {"missing_id1": b"", "abcdefghiJk": flac(tone())},
        "eval/00": {"__eval____1": flac(tone()), "eval_____12": b"not audio"},
    }
    for name, clips in shards.items():
        path = folder / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio = [{"bytes": body, "path": f"{clip}.flac"} for clip, body in clips.items()]
        columns = {"video_id": list(clips), "audio": audio, "labels": [["x"]] * len(clips)}
        pa.parquet.write_table(pa.table(columns), path)
    values = {
        "repository": str(folder),
        "id": "video_id",
        "audio": "audio",
        "shards": {"balanced": "data/bal_train/*.parquet", "evaluation": "data/eval/*.parquet"},
    }
    return parse(Parquet, values, "test")


def absent_ids(root: Path) -> set[str]:
    return {clip.youtube_id for clip in audioset.absent(root)}


def test_absent_clips_are_taken_from_parquet_shards(lists: Path, mirror: Parquet) -> None:
    assert absent_ids(lists) == {"-0RWZT-miFs", "missing_id1", "__eval____1", "eval_____12"}
    assert parquet.take(mirror, audioset.absent(lists), lists) == 2
    assert (lists / "audio/balanced/-0/-0RWZT-miFs.flac").is_file()
    assert absent_ids(lists) == {"missing_id1", "eval_____12"}
    corpus = load("audioset", lists)
    assert corpus.coverage == (4, 6)
    assert not list(lists.rglob("*.part"))


def test_shards_without_absent_clips_are_not_read_again(
    lists: Path, mirror: Parquet, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet.take(mirror, audioset.absent(lists), lists)
    (lists / "audio/balanced/-0/-0RWZT-miFs.flac").unlink()
    read = []
    rows = parquet._rows
    monkeypatch.setattr(
        parquet,
        "_rows",
        lambda mirror, shard: read.append(Path(shard).parts[-2:]) or rows(mirror, shard),
    )
    assert parquet.take(mirror, audioset.absent(lists), lists) == 1
    assert ("bal_train", "00.parquet") in read
    assert absent_ids(lists) == {"missing_id1", "eval_____12"}


def test_a_broken_connection_goes_on_without_what_came(
    lists: Path, mirror: Parquet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, failures = parquet._rows, iter([True, True, False, False, False])

    def breaking(mirror: Parquet, shard: str):
        fail = next(failures)
        for row in rows(mirror, shard):
            yield row
            if fail:
                raise ConnectionError("cut")

    monkeypatch.setattr(parquet, "_rows", breaking)
    pauses: list[float] = []
    assert parquet.take(mirror, audioset.absent(lists), lists, pause=pauses.append) == 2
    assert pauses == [2.0, 4.0]


def test_a_mirror_that_is_none_is_named(lists: Path, mirror: Parquet) -> None:
    other = mirror.model_copy(update={"audio": "sound"})
    with pytest.raises(UserError, match=r"00\.parquet"):
        parquet.take(other, audioset.absent(lists), lists, pause=lambda seconds: None)
    empty = mirror.model_copy(update={"shards": {"balanced": "data/x/*.parquet"}})
    with pytest.raises(UserError, match=r"no shards like data/x"):
        parquet.take(empty, audioset.absent(lists), lists)


FAKE = """#!{python}
import sys
from pathlib import Path

words = sys.argv[1:]
video = words[-1].rpartition("=")[2]
with open("{log}", "a") as log:
    print(video, words[words.index("--download-sections") + 1], file=log)
answer = {answers}.get(video, "Video unavailable")
if answer != "audio":
    sys.exit("ERROR: [youtube] " + video + ": " + answer)
suffix = words[words.index("--audio-format") + 1]
path = words[words.index("--output") + 1].replace("%(ext)s", suffix)
Path(path).write_bytes(b"audio of " + video.encode())
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a yt-dlp of our own on the path that answers as told; returns the calls it got."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "calls.txt"

    def answering(answers: dict[str, str]) -> Path:
        text = FAKE.format(python=sys.executable, log=log, answers=answers)
        for name in ("yt-dlp", "ffmpeg"):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        return log

    return answering


def test_what_youtube_has_comes_and_what_is_gone_is_not_asked_for_again(
    lists: Path, program
) -> None:
    log = program({"-0RWZT-miFs": "audio", "__eval____1": "HTTP Error 503"})
    pauses: list[float] = []
    counts = youtube.take(audioset.absent(lists), lists, pause=pauses.append)
    assert counts == {"came": 1, "gone": 2, "failed": 1}
    assert pauses == [youtube.PAUSE_S] * 3
    assert (lists / "audio/balanced/-0/-0RWZT-miFs.flac").read_bytes() == b"audio of -0RWZT-miFs"
    assert "-0RWZT-miFs *420.0-430.0" in log.read_text()
    log.unlink()
    program({"__eval____1": "audio"})
    counts = youtube.take(audioset.absent(lists), lists, pause=pauses.append)
    assert counts == {"came": 1, "gone": 2, "failed": 0}
    assert log.read_text().split()[::2] == ["__eval____1"]
    assert absent_ids(lists) == {"missing_id1", "eval_____12"}


def test_a_refusal_stops_at_once_and_is_no_verdict_on_the_clip(lists: Path, program) -> None:
    bot = "Sign in to confirm you're not a bot"
    log = program({"-0RWZT-miFs": bot, "missing_id1": bot})
    with pytest.raises(UserError, match=r"not a bot.*resume"):
        youtube.take(audioset.absent(lists), lists, pause=lambda seconds: None)
    assert len(log.read_text().splitlines()) == 1
    journal = (lists / ".fetched/youtube.jsonl").read_text()
    assert json.loads(journal)["outcome"] == "failed"


PASSING = (
    "Requested format is not available. Use --list-formats for a list of available formats",
    "The following content is not available on this app. Watch on the latest version of YouTube",
    "Video unavailable. This content isn't available, try again later.",
    "Video unavailable. The uploader has not made this video available in your country",
    "Sign in to confirm your age. This video may be inappropriate for some users",
    "Join this channel to get access to members-only content",
    "This live event will begin in 3 hours",
    "Unable to download webpage: <urlopen error [Errno -3] Temporary failure in name resolution>",
)
NEVER = (
    "Video unavailable",
    "Private video. Sign in if you've been granted access to this video",
    "Video unavailable. This video has been removed by the uploader",
    "This video has been removed for violating YouTube's Terms of Service",
    "Video unavailable. This video is no longer available because the YouTube account associated "
    "with this video has been terminated.",
    "Video unavailable. This video is no longer available due to a copyright claim by X",
)


def missing_clips(count: int) -> list[Absent]:
    names = [f"429defgh{number:03d}" for number in range(count)]  # ids may look like HTTP codes
    return [Absent("weak", name, 0.0, 10.0, f"a/{name}.wav") for name in names]


@pytest.mark.parametrize("says", PASSING)
def test_passing_trouble_stops_the_run_and_every_clip_is_asked_for_again(
    tmp_path: Path, program, says: str
) -> None:
    clips = missing_clips(2 * youtube.GIVE_UP_AFTER + 1)
    ids = [clip.youtube_id for clip in clips]
    log = program(dict.fromkeys(ids, says))

    def attempt() -> list[str]:
        log.unlink(missing_ok=True)
        with pytest.raises(UserError, match="resume"):
            youtube.take(clips, tmp_path, pause=lambda seconds: None)
        return log.read_text().split()[::2]

    first, second = attempt(), attempt()
    assert first == ids[: youtube.GIVE_UP_AFTER]
    assert second == ids[youtube.GIVE_UP_AFTER : 2 * youtube.GIVE_UP_AFTER]  # not the same again
    if youtube.KEPT.search(says) is None:
        assert attempt()[0] == ids[-1]
    else:  # the last one is asked for, then the others again: the call ends, or none ever would
        counts = youtube.take(clips, tmp_path, pause=lambda seconds: None)
        assert counts == {"came": 0, "gone": 0, "failed": len(clips)}
    program(dict.fromkeys(ids, "audio"))
    counts = youtube.take(clips, tmp_path, pause=lambda seconds: None)
    assert counts == {"came": len(clips), "gone": 0, "failed": 0}


@pytest.mark.parametrize("says", NEVER)
def test_videos_that_are_gone_never_stop_the_run_and_are_asked_for_once(
    tmp_path: Path, program, says: str
) -> None:
    clips = missing_clips(youtube.GIVE_UP_AFTER + 5)
    log = program({clip.youtube_id: says for clip in clips})
    for _ in range(2):
        counts = youtube.take(clips, tmp_path, pause=lambda seconds: None)
        assert counts == {"came": 0, "gone": len(clips), "failed": 0}
    assert len(log.read_text().splitlines()) == len(clips)


def test_an_older_note_that_called_passing_trouble_gone_is_not_believed(
    tmp_path: Path, program
) -> None:
    (clip,) = missing_clips(1)
    note = {"id": clip.youtube_id, "outcome": "gone", "reason": PASSING[0]}
    (tmp_path / ".fetched").mkdir()
    (tmp_path / ".fetched" / "youtube.jsonl").write_text(json.dumps(note) + "\n")
    program({clip.youtube_id: "audio"})
    assert youtube.take([clip], tmp_path, pause=lambda seconds: None)["came"] == 1


def test_desed_asks_for_its_recorded_clips_under_their_own_names(
    desed_root: Path,  # noqa: F811
    program,
) -> None:
    gone = desed_root / "dataset/audio/train/weak/Y-0RWZT-miFs_420.000_430.000.wav"
    gone.unlink()
    program({"-0RWZT-miFs": "audio"})
    assert [clip.part for clip in desed.absent(desed_root)] == ["weak"]
    assert list(desed.absent(desed_root, train="strong")) == []
    youtube.take(desed.absent(desed_root), desed_root, pause=lambda seconds: None)
    assert gone.read_bytes() == b"audio of -0RWZT-miFs"


def test_without_yt_dlp_the_remedy_is_said(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="pip install -U yt-dlp"):
        youtube.take(audioset.absent(lists), lists)


def test_audio_is_told_by_its_first_bytes() -> None:
    assert suffix_of(flac(tone())) == ".flac"
    assert suffix_of(b"<html>") is None
