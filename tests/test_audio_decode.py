"""Decoding: every usual container, and a named reason for every kind of damage."""

from __future__ import annotations

import os
import pickle
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.audio.decode import AudioError, decode, read, seconds_of

RATE = 16000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 0.01),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 0.0),
        ("flac", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 0.05),
        ("mp3", "MPEG_LAYER_III", 0.05),
    ],
)
def test_containers(tmp_path: Path, suffix: str, subtype: str, tolerance: float) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, tone(), RATE, subtype=subtype)
    samples = read(path, RATE)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    middle = slice(2000, 6000)
    assert np.abs(samples[middle] - tone()[middle]).max() <= tolerance


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "clip.wav"
    levels = np.linspace(0.0, 1.0, channels, dtype=np.float32)
    soundfile.write(path, tone()[:, None] * levels, RATE, subtype="FLOAT")
    np.testing.assert_allclose(read(path, RATE), tone() * 0.5, atol=1e-6)


ANTIPHASE = [("wav", "FLOAT"), ("wav", "PCM_16"), ("wav", "PCM_U8"), ("flac", "PCM_24"),
             ("mp3", "MPEG_LAYER_III"), ("ogg", "OPUS")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "subtype"), ANTIPHASE)
def test_channels_that_cancel_each_other_are_named_and_heard(
    tmp_path: Path, suffix: str, subtype: str
) -> None:
    path = tmp_path / f"clip.{suffix}"
    rate = 48000
    quiet, loud = tone(3.0, rate) * 0.96, tone(3.0, rate)
    soundfile.write(path, np.stack([quiet, -loud], axis=1), rate, subtype=subtype)
    audio = decode(path, rate, start_s=0.5, duration_s=2.0)
    assert audio.repairs == ("channels 1, 2 cancel each other: channel 2 alone is taken",)
    assert not audio.silent
    middle = slice(rate // 2, 3 * rate // 2)
    assert audio.samples[middle].std() == pytest.approx(loud.std(), rel=0.05)


def test_wide_or_half_silent_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    rng = np.random.default_rng(0)
    one = np.zeros((RATE, 8))
    one[:, 3] = 0.5 * tone(1.0)
    wide = 0.1 * rng.standard_normal((RATE, 2))
    half = 0.1 * rng.standard_normal((RATE, 1)) * [1.0, -0.6]  # 12 dB below, but there
    for channels in (one, wide, half, np.zeros((RATE, 2))):
        soundfile.write(path, channels, RATE, subtype="FLOAT")
        audio = decode(path, RATE)
        assert audio.repairs == ()
        np.testing.assert_allclose(audio.samples, channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_length_and_pitch(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(1.0, rate), rate, subtype="FLOAT")
    audio = decode(path, RATE)
    assert audio.source_rate == rate
    assert len(audio.samples) == RATE
    middle = slice(2000, 14000)
    assert np.abs(audio.samples[middle] - tone(1.0)[middle]).max() < 1e-3


def test_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    ramp = np.linspace(-0.9, 0.9, 3 * RATE, dtype=np.float32)
    soundfile.write(path, ramp, RATE, subtype="FLOAT")
    part = read(path, RATE, start_s=1.0, duration_s=0.5)
    np.testing.assert_array_equal(part, ramp[RATE : RATE + RATE // 2])
    tail = read(path, RATE, start_s=2.5, duration_s=10.0)
    np.testing.assert_array_equal(tail, ramp[5 * RATE // 2 :])
    with pytest.raises(AudioError, match=r"no samples from 3\.0 s on"):
        decode(path, RATE, start_s=3.0)


def test_long_files_are_read_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1_200_000, 2)).astype(np.float32)
    soundfile.write(path, samples, 48000, subtype="FLOAT")
    np.testing.assert_allclose(read(path, 48000), samples.mean(axis=1), atol=1e-7)


def test_silence_is_audio(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(100), RATE)
    assert decode(path, RATE).silent


def wav(path: Path, samples: np.ndarray, declared: int | None = None) -> Path:
    soundfile.write(path, samples, RATE, subtype="FLOAT" if samples.dtype == np.float32 else None)
    if declared is not None:
        data = bytearray(path.read_bytes())
        place = data.index(b"data") + 4
        data[place : place + 4] = struct.pack("<I", declared)
        data[4:8] = struct.pack("<I", declared or 8)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_written_to_a_pipe_is_repaired(tmp_path: Path, declared: int) -> None:
    path = wav(tmp_path / "clip.wav", (tone() * 32767).astype(np.int16), declared)
    audio = decode(path, RATE)
    assert len(audio.samples) == len(tone())
    assert audio.repairs == ("the WAV header states no length: read to the end of the file",)


@pytest.mark.parametrize("riff", [0, 8, 36, 0xFFFFFFFF])
def test_wav_of_a_recorder_that_was_killed_before_it_wrote_sizes(tmp_path: Path, riff: int) -> None:
    path = wav(tmp_path / "clip.wav", (tone(2.0) * 32767).astype(np.int16), 0)
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", riff)
    path.write_bytes(data)
    audio = decode(path, RATE)
    assert seconds_of(path) == audio.duration_s == 2.0
    np.testing.assert_allclose(audio.samples, tone(2.0), atol=1e-4)
    assert "states no length" in audio.repairs[0]
    part = read(path, RATE, start_s=0.5, duration_s=1.0)
    np.testing.assert_array_equal(part, audio.samples[RATE // 2 : 3 * RATE // 2])


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_whose_sizes_are_those_of_its_first_block(
    tmp_path: Path, width: int, channels: int
) -> None:
    """What Python's wave leaves if it is killed before it is closed."""
    path, whole = tmp_path / "clip.wav", tmp_path / "whole.wav"
    block = np.random.default_rng(0).integers(0, 256, RATE * width * channels, np.uint8).tobytes()
    with wave.open(str(whole), "wb") as file:
        file.setparams((channels, width, RATE, 0, "NONE", ""))
        file.writeframes(5 * block)
    data = bytearray(whole.read_bytes())
    data[4:8], data[40:44] = struct.pack("<I", 36 + len(block)), struct.pack("<I", len(block))
    path.write_bytes(data)
    assert seconds_of(path) == decode(path, RATE).duration_s == 5.0
    np.testing.assert_array_equal(read(path, RATE), read(whole, RATE))


@pytest.mark.parametrize(
    "after",
    [
        b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf60.16.100\0",
        b"id3 " + struct.pack("<I", 90_000) + b"\xff\xd8" * 45_000,
        b"ID3\x03\0\0\0\x05\x3f\x10" + b"\xff\xd8" * 45_000,
        b"TAG" + b"\xe9" * 125,
        bytes(65536),
    ],
)
@pytest.mark.parametrize("frames", [RATE, RATE - 1])
def test_what_follows_the_samples_of_a_wav_is_no_sound(
    tmp_path: Path, after: bytes, frames: int
) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(1.0)[:frames], RATE, subtype="PCM_U8")
    path.write_bytes(path.read_bytes() + after)
    audio = decode(path, RATE)
    assert len(audio.samples) == round(seconds_of(path) * RATE) == frames
    assert audio.repairs == ()
    data = bytearray(path.read_bytes()[:44] + after)
    data[40:44] = bytes(4)
    path.write_bytes(data)
    if after[:1].isalpha():
        with pytest.raises(AudioError, match="no samples"):
            decode(path, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE)
    soundfile.write(path, noise, RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(AudioError, match=rf"clip\.{suffix}: "):
        decode(path, RATE)
    with pytest.raises(AudioError):
        decode(path, RATE, duration_s=10.0)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_cut_is_seen_where_the_file_is_read_to_its_own_end(tmp_path: Path, suffix: str) -> None:
    """The length asked for may be what a damaged header still says."""
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE), RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(AudioError, match=rf"clip\.{suffix}: "):
        decode(path, RATE, duration_s=soundfile.info(path).duration)


def test_the_part_before_the_cut_is_usable(tmp_path: Path) -> None:
    path = wav(tmp_path / "clip.wav", np.tile(tone(), 4))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert len(read(path, RATE, duration_s=1.0)) == RATE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"This is a text file.\n" * 200, "not decodable"),
        (b"<html><body>404 not found</body></html>", "not decodable"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not decodable"),
        (b"\x00" * 5000, "not decodable"),
    ],
)
def test_files_that_are_no_audio(tmp_path: Path, content: bytes, reason: str) -> None:
    for name in ("clip.wav", "clip.mp3", "clip.flac"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(AudioError, match=reason) as caught:
            decode(path, RATE)
        assert "does not exist" not in str(caught.value)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF"])
@pytest.mark.parametrize("channels", [1, 2])
def test_sixteen_bits_are_scaled_as_libsndfile_does(
    tmp_path: Path, container: str, channels: int
) -> None:
    path = tmp_path / f"clip.{container.lower()}"
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (5000, channels), np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16", format=container)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0]
    np.testing.assert_array_equal(
        decode(path, RATE).samples, expected.mean(axis=1, dtype=np.float32)
    )


def test_samples_that_are_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    with pytest.raises(AudioError, match="no samples"):
        decode(wav(path, np.zeros(0, np.float32)), RATE)
    broken = tone()
    broken[7] = np.nan
    with pytest.raises(AudioError, match="1 samples are NaN or infinite"):
        decode(wav(path, broken), RATE)
    broken[8] = np.inf
    with pytest.raises(AudioError, match="2 samples are NaN or infinite"):
        decode(wav(path, broken), RATE)
    with pytest.raises(AudioError, match=r"samples of up to 1e\+30 times full scale"):
        decode(wav(path, tone() + np.float32(1e30)), RATE)
    with pytest.raises(AudioError, match=r"constant value 1 instead of sound"):
        decode(wav(path, np.ones(RATE, np.float32)), RATE)
    stuck = np.ones(RATE, np.float32)
    stuck[: RATE // 20] = 0.3
    with pytest.raises(AudioError, match="95% of the samples stand at full scale"):
        decode(wav(path, stuck), RATE)
    with pytest.raises(AudioError, match="95% of the samples stand at full scale"):
        decode(wav(path, 32767 * stuck), RATE)
    clipped = np.clip(3 * tone(), -1, 1)  # loud, but a recording
    assert len(decode(wav(path, clipped), RATE).samples) == len(clipped)


def test_integers_stored_as_floats_are_sound(tmp_path: Path) -> None:
    path = wav(tmp_path / "clip.wav", 32767 * tone())
    np.testing.assert_array_equal(decode(path, RATE).samples, 32767 * tone())


@pytest.mark.parametrize("value", [127, 128, 129])
def test_a_constant_of_one_step_is_silence(tmp_path: Path, value: int) -> None:
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, RATE, 0, "NONE", ""))
        file.writeframes(bytes([value]) * RATE)
    assert decode(path, RATE).silent


def test_absent_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="No such file"):
        decode(tmp_path / "nothing.wav", RATE)
    with pytest.raises(AudioError, match=r"cannot be read|not decodable"):
        decode(tmp_path, RATE)


def test_a_header_cannot_claim_memory_or_absurd_rates(tmp_path: Path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(), RATE)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the total of samples: 36 bits at the end of this byte and the next four
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"truncated|not decodable"):
        decode(path, RATE)
    path = wav(tmp_path / "clip.wav", tone())
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 4_000_000)
    path.write_bytes(data)
    with pytest.raises(AudioError, match="sample rate of 4000000 Hz"):
        decode(path, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_mutated_files_decode_or_name_a_reason(tmp_path: Path, suffix: str) -> None:
    """Flipped, cut and overwritten bytes: finite samples or an AudioError, nothing else."""
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, tone(0.3), RATE)
    original = path.read_bytes()
    rng = np.random.default_rng(7)
    verdicts = set()
    for trial in range(40):
        data = bytearray(original)
        places = rng.integers(0, len(data) if trial % 2 else min(64, len(data)), 3)
        for place in places:
            data[place] = int(rng.integers(256))
        if trial % 5 == 0:
            data = data[: int(rng.integers(1, len(data)))]
        path.write_bytes(data)
        try:
            samples = decode(path, RATE, duration_s=1.0).samples
        except AudioError:
            verdicts.add("refused")
        else:
            assert np.isfinite(samples).all()
            assert 1 <= len(samples) <= RATE
            verdicts.add("decoded")
    # Ogg pages carry checksums, so no damage goes unseen there.
    assert verdicts == ({"refused"} if suffix == "ogg" else {"refused", "decoded"})


def test_errors_cross_process_borders() -> None:
    error = pickle.loads(pickle.dumps(AudioError("a: b.wav", "empty: yes")))
    assert (str(error), error.reason) == ("a: b.wav: empty: yes", "empty: yes")


@pytest.mark.parametrize("channels", [1, 2])
def test_flac_without_a_length_is_read_to_its_end(tmp_path: Path, channels: int) -> None:
    """A program that wrote to a pipe could not say how long it would become."""
    path = tmp_path / "clip.flac"
    sound = np.stack([tone(2.0)] * channels, axis=1)
    soundfile.write(path, sound, RATE)
    whole = decode(path, RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    audio = decode(path, RATE)
    np.testing.assert_array_equal(audio.samples, whole.samples)
    assert "states no length" in audio.repairs[-1]
    part = decode(path, RATE, start_s=0.5, duration_s=1.0)
    np.testing.assert_array_equal(part.samples, whole.samples[RATE // 2 : RATE * 3 // 2])
    assert seconds_of(path) == 2.0


def mp3(path: Path, sound: np.ndarray, mode: str, rate: int = RATE) -> bytes:
    """The frames of an MP3 file without the one that states their number."""
    soundfile.write(path, sound, rate, format="MP3", bitrate_mode=mode, compression_level=0.3)
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 4) :])
    return data


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_a_length_is_read_whole(tmp_path: Path, rate: int, mode: str) -> None:
    """Its frames are counted; before them, there may be a picture."""
    path = tmp_path / "clip.mp3"
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * rate)
    mp3(path, np.concatenate([np.zeros(3 * rate), noise]), mode, rate)
    picture = b"APIC" + struct.pack(">I", 200_000) + bytes(2) + b"\xff\xfb\x90\x44" * 50_000
    size = bytes(len(picture) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + picture + path.read_bytes() + b"TAG" + bytes(125))
    audio = decode(path, rate)
    assert audio.duration_s == pytest.approx(6.0, abs=0.2)
    assert seconds_of(path) == pytest.approx(audio.duration_s, abs=0.1)


def test_mp3_that_is_not_read_to_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp3"
    noise = np.random.default_rng(0).normal(0, 0.3, 10 * RATE)
    frames = mp3(path, np.concatenate([noise, np.zeros(10 * RATE)]), "VARIABLE")
    assert seconds_of(path) == pytest.approx(20.0, abs=0.2)
    for duration_s in (None, 20.0):
        with pytest.raises(
            AudioError, match=r"of 20\.\d+ s can be read.*convert it to FLAC or WAV"
        ):
            decode(path, RATE, duration_s=duration_s)
    assert len(read(path, RATE, start_s=1.0, duration_s=2.0)) == 2 * RATE
    path.write_bytes(frames)
    assert seconds_of(path) == decode(path, RATE).duration_s == 20.0
    path.write_bytes(frames + frames)  # as `cat` joins them
    with pytest.raises(AudioError, match=r"20\.00 s of 40\.\d+ s can be read"):
        decode(path, RATE)
    path.write_bytes(frames[: len(frames) // 3])
    with pytest.raises(AudioError, match="truncated"):
        decode(path, RATE)


def test_joined_ogg_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.ogg"
    soundfile.write(path, tone(2.0), RATE)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(AudioError, match="only the first"):
        decode(path, RATE)


def test_pipes_and_devices_are_no_recordings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "circle.wav").symlink_to(tmp_path / "circle.wav")
    for name in ("pipe", "endless"):
        with pytest.raises(AudioError, match="not a plain file"):
            decode(tmp_path / f"{name}.wav", RATE)
    with pytest.raises(AudioError, match="cannot be read"):
        decode(tmp_path / "circle.wav", RATE)
