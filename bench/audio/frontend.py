"""A front end: what turns a waveform into stored features, as plain settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from bench.files import digest_of
from bench.strict import Strict

if TYPE_CHECKING:  # imported late: every command reads settings, few compute features
    import numpy as np

Kind = Literal["logmel", "fbank", "preemphasis", "htk", "cepstra"]
OWN = {"log_offset": "preemphasis", "log_floor": "preemphasis", "range_db": "htk"}
"""Setting -> the one kind that has it."""
UP_TO_NYQUIST = ("fbank", "preemphasis", "htk", "cepstra")
CEPSTRA = 13  # values of a frame
SILENCE = {"logmel": -100.0, "htk": -100.0, "cepstra": 0.0, "fbank": math.log(2.0**-23)}
"""Feature values of digital silence where the settings do not decide them; cepstra: those of a flat
spectrum."""


class Transform(Strict):
    """What turns a waveform into stored features; a `FrontEnd` adds how a model reads them.

    Raises:
        ValueError: a setting is out of range, or belongs to another kind.
    """

    kind: Kind = Field(
        description="logmel: HTS-AT, PANN; fbank: AST; preemphasis: EfficientAT, PaSST; htk: "
        "ATST-Frame, Dasheng; cepstra: Piczak's baselines"
    )
    sample_rate: int = Field(gt=0, description="Hz; audio is resampled to it", examples=[32000])
    window: int = Field(gt=0, description="analysis window in samples", examples=[1024])
    hop: int = Field(gt=0, description="hop in samples", examples=[320])
    mels: int = Field(
        gt=0, description="number of mel bands; kind cepstra: 13, its values", examples=[64]
    )
    fmin: float = Field(ge=0, description="lowest edge of the mel bands in Hz", examples=[50])
    fmax: float = Field(gt=0, description="highest edge of the mel bands in Hz", examples=[14000])
    repeat_to_s: float | None = Field(
        default=None,
        gt=0,
        description="shorter waveforms are repeated to this many seconds",
        examples=[10],
    )
    fit_to_s: float | None = Field(
        default=None,
        gt=0,
        description="waveforms are cut, or padded with zeros, to this many seconds",
        examples=[5],
    )
    log_offset: float = Field(
        default=0.0,
        ge=0,
        description="kind preemphasis only: added to powers before the logarithm",
        examples=[1e-5],
    )
    log_floor: float = Field(
        default=0.0,
        ge=0,
        description="kind preemphasis only: smaller powers are raised to it before the logarithm",
        examples=[1e-7],
    )
    range_db: float | None = Field(
        default=None,
        gt=0,
        description="kind htk only: a clip's values are cut off this many dB below its maximum",
        examples=[80],
    )

    @model_validator(mode="after")
    def _kinds_settings_fit(self) -> Self:
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin} Hz must lie below fmax {self.fmax} Hz")
        if self.kind in UP_TO_NYQUIST and self.fmax > self.sample_rate / 2:
            raise ValueError(f"fmax {self.fmax} Hz lies above half of {self.sample_rate} Hz")
        for name, kind in OWN.items():
            if getattr(self, name) and self.kind != kind:
                raise ValueError(f"{name} is a setting of kind {kind}, not of {self.kind}")
        if self.kind == "preemphasis" and not self.log_offset + self.log_floor:
            raise ValueError(
                "kind preemphasis takes the logarithm of powers that may be 0: set log_offset "
                "(1e-5 in EfficientAT and PaSST) or log_floor (1e-7 in EfficientSED)"
            )
        if self.kind == "cepstra" and self.mels != CEPSTRA:
            raise ValueError(f"mels is {self.mels}: kind cepstra makes {CEPSTRA} values")
        return self

    @property
    def seconds_per_frame(self) -> float:
        """Hop in seconds."""
        return self.hop / self.sample_rate

    def seconds_of(self, frames: int) -> float:
        """Time spanned by this many frames, in seconds."""
        return frames * self.hop / self.sample_rate

    @property
    def silence(self) -> float:
        """Feature value of digital silence."""
        if self.kind == "preemphasis":
            return math.log(self.log_floor + self.log_offset)
        return SILENCE[self.kind]

    def frames_of(self, samples: int) -> int:
        """Number of frames that `features` returns for this many samples (before repetition)."""
        if self.fit_to_s is not None:
            samples = round(self.fit_to_s * self.sample_rate)
        if self.repeat_to_s is not None:
            samples = max(samples, round(self.repeat_to_s * self.sample_rate))
        if self.kind == "preemphasis":
            from bench.audio.preemphasis import fft_size

            return 1 + max(samples - 1, fft_size(self.window)) // self.hop
        samples = max(samples, self.window)
        padding = 0 if self.kind == "fbank" else 2 * (self.window // 2)
        return 1 + (samples + padding - self.window) // self.hop

    def features(self, waveform: np.ndarray) -> np.ndarray:
        """Features of one clip: (N,) float32 at `sample_rate` -> (frames(N), mels) float32."""
        import numpy as np

        from bench.audio.cepstra import cepstra
        from bench.audio.fbank import fbank
        from bench.audio.logmel import htk_logmel, logmel
        from bench.audio.preemphasis import preemphasised

        if self.fit_to_s is not None:
            length = round(self.fit_to_s * self.sample_rate)
            waveform = np.pad(waveform[:length], (0, max(0, length - len(waveform))))
        if self.repeat_to_s is not None:
            length = max(len(waveform), round(self.repeat_to_s * self.sample_rate))
            waveform = np.resize(waveform, length)
        shared = ("sample_rate", "window", "hop", "mels", "fmin", "fmax")
        transforms: dict[str, Callable[..., np.ndarray]] = {
            "logmel": logmel,
            "fbank": fbank,
            "preemphasis": preemphasised,
            "htk": htk_logmel,
            "cepstra": cepstra,
        }
        own = [name for name, kind in OWN.items() if kind == self.kind]
        settings = {name: getattr(self, name) for name in (*shared, *own)}
        return transforms[self.kind](waveform, **settings)

    @property
    def stored(self) -> dict[str, Any]:
        """The settings that decide the stored features, as JSON values."""
        return self.model_dump(mode="json", include=set(Transform.model_fields))

    @property
    def digest(self) -> str:
        """sha256 of `stored`."""
        return digest_of(self.stored)
