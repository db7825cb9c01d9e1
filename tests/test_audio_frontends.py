"""Front ends against independent implementations, and their shapes at every length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.audio.fbank import fbank, normalise
from bench.audio.frontend import Transform
from bench.audio.logmel import logmel
from bench.audio.mel import htk_filters, kaldi_filters, slaney_filters
from modelkit.vision import make_companions_importable

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
EFFICIENTAT = {  # and PaSST
    "kind": "preemphasis",
    "sample_rate": 32000,
    "window": 800,
    "hop": 320,
    "mels": 128,
    "fmin": 0.0,
    "fmax": 15000.0,
    "log_offset": 1e-5,
}
EFFICIENTSED = {
    "kind": "preemphasis",
    "sample_rate": 16000,
    "window": 400,
    "hop": 160,
    "mels": 128,
    "fmin": 0.0,
    "fmax": 7000.0,
    "log_floor": 1e-7,
}
ATST = {
    "kind": "htk",
    "sample_rate": 16000,
    "window": 1024,
    "hop": 160,
    "mels": 64,
    "fmin": 60.0,
    "fmax": 7800.0,
    "range_db": 80.0,
}
DASHENG = ATST | {"window": 512, "fmin": 0.0, "fmax": 8000.0, "range_db": 120.0}
KINDS = {"logmel": SMALL, "fbank": AST, "preemphasis": EFFICIENTSED, "htk": DASHENG}


def sound(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Chirp over pink-like noise, fading: energy in every band, over 40 dB of levels."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    noise = np.cumsum(rng.standard_normal(len(time))) * 0.002 + 0.02 * rng.standard_normal(
        len(time)
    )
    chirp = 0.3 * np.sin(2 * np.pi * (100 + 600 * time) * time)
    return ((noise - noise.mean() + chirp) * 10 ** (-2 * time / seconds)).astype(np.float32)


def noise(seconds: float, rate: int) -> np.ndarray:
    """Noise without tones: at the edge of a band, a tone shows the rounding of the filters, which
    torchaudio computes in float32."""
    rng = np.random.default_rng(3)
    level = np.linspace(0, 12, int(seconds * rate))
    return (0.1 * np.sin(level) ** 2 * rng.standard_normal(len(level))).astype(np.float32)


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


@pytest.mark.parametrize("settings", [*KINDS.values(), PAPER, EFFICIENTAT, ATST])
def test_digital_silence_is_the_stated_value(settings: dict) -> None:
    front_end = Transform(**settings)
    features = front_end.features(np.zeros(front_end.sample_rate, np.float32))
    np.testing.assert_allclose(features, front_end.silence, rtol=1e-6)


def test_fbank_equals_transformers() -> None:
    make_companions_importable()
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


# --- today's rivals, after their own normalisation -----------------------------------------------


def test_preemphasis_equals_efficientat_and_passt() -> None:
    import torch
    from modern_peers import peer

    waveform = noise(10.0, 32000)
    ours = normalise(Transform(**EFFICIENTAT).features(waveform), -4.5, 2.5)
    for module in ("mobilenet", "passt"):
        official = peer("deepaudiox", f"modules.backbones.{module}.preprocess").AugmentMelSTFT()
        with torch.no_grad():
            expected = official.eval()(torch.from_numpy(waveform)[None])[0].T.numpy()
        assert ours.shape == expected.shape == (1000, 128)
        np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_preemphasis_with_a_floor_is_that_of_efficientsed() -> None:
    """The official class has no offset there, so it is put together of its parts here."""
    import torch
    from modern_peers import peer

    waveform = noise(10.0, 16000)
    official = peer("deepaudiox", "modules.backbones.mobilenet.preprocess").AugmentMelSTFT(
        sr=16000, win_length=400, hopsize=160, n_fft=512, freqm=0, timem=0
    )
    assert (official.fmin, official.fmax) == (0.0, 7000)
    with torch.no_grad():
        offset = official.eval()(torch.from_numpy(waveform)[None])[0].T.double() * 5 - 4.5
    power = (offset.exp() - 1e-5).numpy()
    ours = Transform(**EFFICIENTSED).features(waveform)
    assert ours.shape == power.shape == (1000, 128)
    loud = power > 1e-3
    assert loud.mean() > 0.5
    np.testing.assert_allclose(ours[loud] / 5, np.log(power[loud]) / 5, atol=1e-4)
    empty = (power == 0).all(axis=0)  # a band between two FFT bins
    assert (ours[:, 0] == np.float32(np.log(np.float32(1e-7)))).all()
    assert empty.sum() <= 1


@pytest.mark.parametrize("settings", [ATST, DASHENG])
def test_htk_equals_torchaudio(settings: dict) -> None:
    """ATST-Frame scales decibels to [-1, 1]; Dasheng's model begins with a batch norm."""
    import torch

    make_companions_importable()
    from torchaudio import transforms

    waveform = noise(10.0, 16000)
    spectrogram = transforms.MelSpectrogram(
        16000,
        n_fft=settings["window"],
        hop_length=160,
        f_min=settings["fmin"],
        f_max=settings["fmax"],
        n_mels=64,
    )
    decibels = transforms.AmplitudeToDB(top_db=settings["range_db"])
    with torch.no_grad():
        expected = decibels(spectrogram(torch.from_numpy(waveform)[None]))[0].T.numpy()
    ours = Transform(**settings).features(waveform)
    assert ours.shape == expected.shape == (1001, 64)
    assert ours.max() - ours.min() <= settings["range_db"] + 1e-4
    unit = 130.3324 / 2 if settings is ATST else expected.std(axis=0)
    np.testing.assert_allclose(ours / unit, expected / unit, atol=1e-4)
    bank = htk_filters(16000, settings["window"], 64, settings["fmin"], settings["fmax"])
    np.testing.assert_allclose(bank.toarray(), spectrogram.mel_scale.fb, atol=1e-5)


def test_a_loud_clip_does_not_raise_the_floor_of_a_quiet_one() -> None:
    quiet = Transform(**ATST).features(1e-4 * noise(1.0, 16000))
    assert quiet.max() < Transform(**ATST).features(noise(1.0, 16000)).max() - 70
    assert quiet.max() - quiet.min() > 40


def test_fixed_normalisations_are_the_published_ones() -> None:
    """(x + 4.5) / 5, and [-79.6482, 50.6842] dB to [-1, 1]; both as (x - mean) / (2 std)."""
    x = np.array([-79.6482, -14.482, 0.0, 50.6842], np.float32)
    np.testing.assert_allclose(normalise(x, -4.5, 2.5), (x + 4.5) / 5, atol=1e-6)
    scaled = (x + 79.6482) / (50.6842 + 79.6482) * 2 - 1
    np.testing.assert_allclose(normalise(x, -14.482, 32.5831), scaled, atol=1e-6)


def test_ten_seconds_make_the_published_numbers_of_frames() -> None:
    assert Transform(**PAPER).features(sound(10.0, 32000)).shape == (1001, 64)
    assert Transform(**AST).features(sound(10.0, 16000)).shape == (998, 128)
    assert Transform(**EFFICIENTAT).frames_of(320_000) == 1000
    assert Transform(**EFFICIENTSED).frames_of(160_000) == 1000
    assert Transform(**ATST).frames_of(160_000) == Transform(**DASHENG).frames_of(160_000) == 1001


def test_waveform_mean_has_no_effect_beyond_rounding() -> None:
    waveform = sound(0.5, 16000)
    plain = fbank(waveform, **settings_of(AST), remove_mean=False)
    shifted = fbank(waveform + np.float32(0.25), **settings_of(AST), remove_mean=True)
    assert np.abs(plain - shifted).mean() < 1e-3


def test_published_normalisation_of_padding_and_silence() -> None:
    """Padding (0) lands at +0.467 and digital silence at -1.278 on AudioSet."""
    mean, deviation = -4.2677393, 4.5689974  # egs/audioset/run.sh of AST
    values = normalise(np.array([0.0, Transform(**AST).silence], np.float32), mean, deviation)
    np.testing.assert_allclose(values, [0.467, -1.278], atol=5e-4)


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 4000), kind=st.sampled_from(list(KINDS.values())))
def test_frames_are_foretold_at_every_length(samples: int, kind: dict) -> None:
    front_end = Transform(**kind)
    features = front_end.features(np.full(samples, 0.1, np.float32))
    assert features.shape == (front_end.frames_of(samples), front_end.mels)
    assert np.isfinite(features).all()


def test_features_do_not_depend_on_what_follows() -> None:
    """Blocks are an implementation detail: a frame is the same in a short and a long waveform."""
    waveform = sound(6.0, 16000)
    front_end = Transform(**AST)
    long = fbank(waveform, **settings_of(AST), remove_mean=False)
    short = fbank(waveform[: 16000 * 5], **settings_of(AST), remove_mean=False)
    np.testing.assert_array_equal(long[: len(short)], short)
    assert len(long) == front_end.frames_of(len(waveform))


def test_repetition_concatenates_and_cuts() -> None:
    front_end = Transform(**SMALL, repeat_to_s=2.5)
    waveform = sound(1.0, 16000)
    tripled = np.concatenate([waveform, waveform, waveform])[:40000]
    expected = Transform(**SMALL).features(tripled)
    np.testing.assert_array_equal(front_end.features(waveform), expected)
    assert front_end.frames_of(16000) == len(expected)
    long = sound(3.0, 16000)
    np.testing.assert_array_equal(front_end.features(long), Transform(**SMALL).features(long))


def test_settings_decide_the_digest() -> None:
    digests = {
        Transform(**values).digest
        for values in (PAPER, SMALL, AST, SMALL | {"hop": 160}, SMALL | {"repeat_to_s": 2.0})
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mfcc"}, "mfcc"),
        ({"hop": 0}, "hop\n.*greater than 0"),
        ({"fmin": 9000.0}, "fmin"),
        (AST | {"fmax": 9000.0}, "above half of 16000"),
        (EFFICIENTSED | {"fmax": 9000.0}, "above half of 16000"),
        (DASHENG | {"fmax": 9000.0}, "above half of 16000"),
        (EFFICIENTAT | {"log_offset": 0.0}, "log_offset .*1e-5.* or log_floor"),
        ({"log_floor": 1e-7}, "log_floor is a setting of kind preemphasis, not of logmel"),
        ({"range_db": 80.0}, "range_db is a setting of kind htk, not of logmel"),
        (EFFICIENTAT | {"log_offset": -1e-5}, "log_offset\n.*greater than or equal to 0"),
        (ATST | {"range_db": 0.0}, "range_db\n.*greater than 0"),
    ],
)
def test_impossible_settings_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transform(**(SMALL | change))


def test_kaldi_filters_leave_the_nyquist_bin_out() -> None:
    filters = kaldi_filters(16000, 512, 128, 20.0, 8000.0).toarray()
    assert filters.shape == (257, 128)
    assert not filters[-1].any()
