"""A front end: what turns a waveform into stored features, as plain settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.audio.fbank import SILENCE, fbank
from bench.audio.logmel import SILENCE_DB, logmel
from bench.files import digest_of


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Settings of one front end.

    Attributes:
        kind: logmel (HTS-AT, PANN; dB) or fbank (AST; natural logarithm).
        sample_rate: Hz; audio is resampled to it.
        window, hop: samples.
        mels: number of bands F.
        fmin, fmax: outer edges of the bands in Hz.
        repeat_to_s: a shorter waveform is concatenated with itself and cut to this length in
            seconds, as HTS-AT's loaders of ESC-50 and Speech Commands do; None leaves it.
    """

    kind: Literal["logmel", "fbank"]
    sample_rate: int
    window: int
    hop: int
    mels: int
    fmin: float
    fmax: float
    repeat_to_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("logmel", "fbank"):
            raise ValueError(f"front end kind '{self.kind}'; logmel or fbank")
        for name in ("sample_rate", "window", "hop", "mels"):
            if getattr(self, name) < 1:
                raise ValueError(f"front end: {name} is {getattr(self, name)}, must be positive")
        if not 0 <= self.fmin < self.fmax:
            raise ValueError(f"front end: fmin {self.fmin} Hz must lie below fmax {self.fmax} Hz")
        if self.kind == "fbank" and self.fmax > self.sample_rate / 2:
            raise ValueError(
                f"front end: fmax {self.fmax} Hz lies above half of {self.sample_rate} Hz"
            )

    @property
    def seconds_per_frame(self) -> float:
        """Hop in seconds."""
        return self.hop / self.sample_rate

    @property
    def silence(self) -> float:
        """Feature value of digital silence."""
        return SILENCE_DB if self.kind == "logmel" else SILENCE

    def frames(self, samples: int) -> int:
        """Number of frames that `features` makes of so many samples (before repetition)."""
        if self.repeat_to_s is not None:
            samples = max(samples, round(self.repeat_to_s * self.sample_rate))
        samples = max(samples, self.window)
        padding = 2 * (self.window // 2) if self.kind == "logmel" else 0
        return 1 + (samples + padding - self.window) // self.hop

    def features(self, waveform: np.ndarray) -> np.ndarray:
        """Features of one clip: (N,) float32 at `sample_rate` -> (frames(N), mels) float32."""
        if self.repeat_to_s is not None:
            length = max(len(waveform), round(self.repeat_to_s * self.sample_rate))
            waveform = np.resize(waveform, length)
        transform = logmel if self.kind == "logmel" else fbank
        return transform(
            waveform,
            sample_rate=self.sample_rate,
            window=self.window,
            hop=self.hop,
            mels=self.mels,
            fmin=self.fmin,
            fmax=self.fmax,
        )

    @property
    def digest(self) -> str:
        """sha256 of the settings."""
        return digest_of(dataclasses.asdict(self))
