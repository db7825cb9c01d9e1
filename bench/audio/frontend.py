"""A front end: what turns a waveform into stored features, as plain settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from bench.files import digest_of

if TYPE_CHECKING:  # imported late: every command reads settings, few compute features
    import numpy as np

Kind = Literal["logmel", "fbank", "preemphasis", "htk", "cepstra"]
OWN = {"log_offset": "preemphasis", "log_floor": "preemphasis", "range_db": "htk"}
"""Setting -> the one kind that has it."""
UP_TO_NYQUIST = ("fbank", "preemphasis", "htk", "cepstra")
CEPSTRA = 13  # values of a frame
SILENCE = {"logmel": -100.0, "htk": -100.0, "cepstra": 0.0, "fbank": math.log(2.0**-23)}
"""Feature values of digital silence where the settings do not decide them."""


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Settings of one front end.

    Attributes:
        kind: logmel (HTS-AT, PANN; Slaney's bands, dB), fbank (AST; Kaldi's bands of frames that
            are pre-emphasised one by one, natural logarithm), preemphasis (EfficientAT, PaSST;
            Kaldi's bands of a pre-emphasised waveform, natural logarithm), htk (ATST-Frame,
            Dasheng; HTK's bands, dB) or cepstra (Piczak's baselines).
        sample_rate: Hz; audio is resampled to it.
        window, hop: samples.
        mels: number of bands F; of kind cepstra 13 values, from 128 bands.
        fmin, fmax: outer edges of the bands in Hz.
        repeat_to_s: a shorter waveform is concatenated with itself and cut to this length in
            seconds, as HTS-AT's loaders of ESC-50 and Speech Commands do; None leaves it.
        fit_to_s: a waveform is cut, or followed by zeros, to exactly this length in seconds; None
            leaves it.
        log_offset, log_floor: of kind preemphasis, ln(max(power, log_floor) + log_offset); an
            offset of 1e-5 in EfficientAT and PaSST, a floor of 1e-7 in EfficientSED.
        range_db: of kind htk, the largest distance of a clip's values from their maximum; None is
            no limit. 80 for ATST-Frame, 120 for Dasheng.

    Raises:
        ValueError: a setting is out of range, or belongs to another kind.
    """

    kind: Kind
    sample_rate: int
    window: int
    hop: int
    mels: int
    fmin: float
    fmax: float
    repeat_to_s: float | None = None
    fit_to_s: float | None = None
    log_offset: float = 0.0
    log_floor: float = 0.0
    range_db: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind '{self.kind}' is none of {', '.join(get_args(Kind))}")
        for name in ("sample_rate", "window", "hop", "mels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be positive")
        if not 0 <= self.fmin < self.fmax:
            raise ValueError(f"fmin {self.fmin} Hz must lie below fmax {self.fmax} Hz")
        if self.kind in UP_TO_NYQUIST and self.fmax > self.sample_rate / 2:
            raise ValueError(f"fmax {self.fmax} Hz lies above half of {self.sample_rate} Hz")
        for name, kind in OWN.items():
            value = getattr(self, name)
            if value and self.kind != kind:
                raise ValueError(f"{name} is a setting of kind {kind}, not of {self.kind}")
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}, must not be negative")
        if self.kind == "preemphasis" and not self.log_offset + self.log_floor:
            raise ValueError(
                "kind preemphasis takes the logarithm of powers that may be 0: set log_offset "
                "(1e-5 in EfficientAT and PaSST) or log_floor (1e-7 in EfficientSED)"
            )
        if self.kind == "cepstra" and self.mels != CEPSTRA:
            raise ValueError(f"mels is {self.mels}: kind cepstra makes {CEPSTRA} values")
        if self.range_db == 0:
            raise ValueError("range_db is 0, which leaves one value: leave it out for no limit")

    @property
    def seconds_per_frame(self) -> float:
        """Hop in seconds."""
        return self.hop / self.sample_rate

    @property
    def silence(self) -> float:
        """Feature value of digital silence."""
        if self.kind == "preemphasis":
            return math.log(self.log_floor + self.log_offset)
        return SILENCE[self.kind]

    def frames(self, samples: int) -> int:
        """Number of frames that `features` makes of so many samples (before repetition)."""
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
    def digest(self) -> str:
        """sha256 of the settings."""
        return digest_of(dataclasses.asdict(self))
