"""Front ends against independent implementations, and their shapes at every length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.audio.fbank import fbank, normalise
from bench.audio.frontend import FrontEnd
from bench.audio.logmel import logmel
from bench.audio.mel import kaldi_filters, slaney_filters
from modelkit.vision import make_torchvision_importable

PAPER = {
    "kind": "logmel",
    "sample_rate": 32000,
    "window": 1024,
    "hop": 320,
    "mels": 64,
    "fmin": 50.0,
    "fmax": 14000.0,
}
SMALL = PAPER | {"sample_rate": 16000, "window": 512, "hop": 256, "mels": 32, "fmax": 8000.0}
AST = {
    "kind": "fbank",
    "sample_rate": 16000,
    "window": 400,
    "hop": 160,
    "mels": 128,
    "fmin": 20.0,
    "fmax": 8000.0,
}


def sound(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Chirp over pink-like noise, fading: energy in every band, over 40 dB of levels."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    noise = np.cumsum(rng.standard_normal(len(time))) * 0.002 + 0.02 * rng.standard_normal(
        len(time)
    )
    chirp = 0.3 * np.sin(2 * np.pi * (100 + 600 * time) * time)
    return ((noise - noise.mean() + chirp) * 10 ** (-2 * time / seconds)).astype(np.float32)


def settings_of(front_end: dict) -> dict:
    return {key: value for key, value in front_end.items() if key != "kind"}


@pytest.mark.parametrize("fmax", [14000.0, 16000.0])
def test_slaney_filters_equal_librosa(fmax: float) -> None:
    import librosa

    ours = slaney_filters(32000, 1024, 64, 50.0, fmax).toarray()
    theirs = librosa.filters.mel(sr=32000, n_fft=1024, n_mels=64, fmin=50.0, fmax=fmax)
    np.testing.assert_allclose(ours.T, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("front_end", [PAPER, PAPER | {"sample_rate": 16000, "hop": 160}, SMALL])
def test_logmel_equals_torchlibrosa(front_end: dict) -> None:
    import torch
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    waveform = sound(3.0, front_end["sample_rate"])
    rate, window, mels = (front_end[key] for key in ("sample_rate", "window", "mels"))
    spectrogram = Spectrogram(n_fft=window, hop_length=front_end["hop"])
    bands = LogmelFilterBank(
        sr=rate,
        n_fft=window,
        n_mels=mels,
        fmin=front_end["fmin"],
        fmax=front_end["fmax"],
        amin=1e-10,
        top_db=None,
    )
    with torch.no_grad():
        expected = bands(spectrogram(torch.from_numpy(waveform)[None]))[0, 0].numpy()
    ours = logmel(waveform, **settings_of(front_end))
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_bands_above_nyquist_read_as_silence() -> None:
    """16 kHz with fmax 14 kHz, the published Speech Commands setting: 9 of 64 bands are empty."""
    features = logmel(sound(1.0, 16000), **settings_of(PAPER | {"sample_rate": 16000}))
    assert (features == -100.0).all(axis=0).sum() == 9


def test_digital_silence_is_the_stated_value() -> None:
    for front_end in (FrontEnd(**PAPER), FrontEnd(**AST)):
        features = front_end.features(np.zeros(front_end.sample_rate, np.float32))
        np.testing.assert_allclose(features, front_end.silence, rtol=1e-6)


def test_fbank_equals_transformers() -> None:
    make_torchvision_importable()
    from transformers import ASTFeatureExtractor

    waveform = sound(2.0, 16000)
    extractor = ASTFeatureExtractor(do_normalize=False, max_length=198)
    expected = extractor(waveform, sampling_rate=16000, return_tensors="np")["input_values"][0]
    ours = fbank(waveform, **settings_of(AST), remove_mean=False)
    assert ours.shape == expected.shape == (198, 128)
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    assert np.abs(ours - expected).mean() < 1e-5


def test_fbank_equals_kaldi() -> None:
    """With 64 bands: this package refuses 128 at 16 kHz, where the lowest hold no FFT bin."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = 64
    options.mel_opts.low_freq = 20.0
    options.use_energy = False
    waveform = sound(2.0, 16000)
    online = kaldi_native_fbank.OnlineFbank(options)
    online.accept_waveform(16000, waveform.tolist())
    online.input_finished()
    expected = np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])
    ours = fbank(waveform, **settings_of(AST | {"mels": 64}), remove_mean=False)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    assert np.abs(ours - expected).mean() < 1e-5


def test_ten_seconds_make_the_published_numbers_of_frames() -> None:
    assert FrontEnd(**PAPER).features(sound(10.0, 32000)).shape == (1001, 64)
    assert FrontEnd(**AST).features(sound(10.0, 16000)).shape == (998, 128)


def test_waveform_mean_has_no_effect_beyond_rounding() -> None:
    waveform = sound(0.5, 16000)
    plain = fbank(waveform, **settings_of(AST), remove_mean=False)
    shifted = fbank(waveform + np.float32(0.25), **settings_of(AST), remove_mean=True)
    assert np.abs(plain - shifted).mean() < 1e-3


def test_published_normalisation_of_padding_and_silence() -> None:
    """Padding (0) lands at +0.467 and digital silence at -1.278 on AudioSet."""
    mean, deviation = -4.2677393, 4.5689974  # egs/audioset/run.sh of AST
    values = normalise(np.array([0.0, FrontEnd(**AST).silence], np.float32), mean, deviation)
    np.testing.assert_allclose(values, [0.467, -1.278], atol=5e-4)


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 4000), kind=st.sampled_from([SMALL, AST]))
def test_frames_are_foretold_at_every_length(samples: int, kind: dict) -> None:
    front_end = FrontEnd(**kind)
    features = front_end.features(np.full(samples, 0.1, np.float32))
    assert features.shape == (front_end.frames(samples), front_end.mels)
    assert np.isfinite(features).all()


def test_features_do_not_depend_on_what_follows() -> None:
    """Blocks are an implementation detail: a frame is the same in a short and a long waveform."""
    waveform = sound(6.0, 16000)
    front_end = FrontEnd(**AST)
    long = fbank(waveform, **settings_of(AST), remove_mean=False)
    short = fbank(waveform[: 16000 * 5], **settings_of(AST), remove_mean=False)
    np.testing.assert_array_equal(long[: len(short)], short)
    assert len(long) == front_end.frames(len(waveform))


def test_repetition_concatenates_and_cuts() -> None:
    front_end = FrontEnd(**SMALL, repeat_to_s=2.5)
    waveform = sound(1.0, 16000)
    tripled = np.concatenate([waveform, waveform, waveform])[:40000]
    expected = FrontEnd(**SMALL).features(tripled)
    np.testing.assert_array_equal(front_end.features(waveform), expected)
    assert front_end.frames(16000) == len(expected)
    long = sound(3.0, 16000)
    np.testing.assert_array_equal(front_end.features(long), FrontEnd(**SMALL).features(long))


def test_settings_decide_the_digest() -> None:
    digests = {
        FrontEnd(**values).digest
        for values in (PAPER, SMALL, AST, SMALL | {"hop": 160}, SMALL | {"repeat_to_s": 2.0})
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mfcc"}, "mfcc"),
        ({"hop": 0}, "hop is 0"),
        ({"fmin": 9000.0}, "fmin"),
        (AST | {"fmax": 9000.0}, "above half of 16000"),
    ],
)
def test_impossible_settings_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrontEnd(**(SMALL | change))


def test_kaldi_filters_leave_the_nyquist_bin_out() -> None:
    filters = kaldi_filters(16000, 512, 128, 20.0, 8000.0).toarray()
    assert filters.shape == (257, 128)
    assert not filters[-1].any()
