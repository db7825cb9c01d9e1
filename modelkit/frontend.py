"""The frozen front end inside the checkpoints of PANNs and HTS-AT, recomputed and compared.

Both release files that carry their STFT and mel matrices as weights (torchlibrosa). The models here
take features and have no place for these entries, but features computed in another way would
silently spoil every result. So the entries are compared with those of the stated front end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from modelkit.checkpoint import CheckpointError

WINDOW, FMIN, FMAX = 1024, 50.0, 14000.0  # of PANNs and HTS-AT: samples, Hz
FRONT_END_KEYS = ("spectrogram_extractor.*", "logmel_extractor.*")
_REAL = "spectrogram_extractor.stft.conv_real.weight"
_IMAG = "spectrogram_extractor.stft.conv_imag.weight"
_MEL = "logmel_extractor.melW"


def front_end_parameters(mels: int) -> int:
    """How many frozen weights torchlibrosa's STFT and mel matrices add to a parameter count."""
    bins = WINDOW // 2 + 1
    return 2 * bins * WINDOW + bins * mels


def stft_kernels(window: int) -> tuple[np.ndarray, np.ndarray]:
    """(window / 2 + 1, window) real and imaginary DFT rows under a periodic Hann window."""
    samples = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * samples / window)
    angles = 2 * np.pi * (np.outer(np.arange(window // 2 + 1), samples) % window) / window
    return hann * np.cos(angles), -hann * np.sin(angles)


def mel_matrix(sample_rate: int, window: int, mels: int, fmin: float, fmax: float) -> np.ndarray:
    """(window / 2 + 1, mels) triangles of unit area on Slaney's mel scale (librosa's default)."""
    edges = _hertz(np.linspace(_mel(fmin), _mel(fmax), mels + 2))
    bins = np.linspace(0, sample_rate / 2, window // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


_LINEAR = 200 / 3  # Hz per mel below 1000 Hz, which is mel 15
_LOG_STEP = np.log(6.4) / 27


def _mel(hertz: float) -> float:
    return hertz / _LINEAR if hertz < 1000 else 15 + np.log(hertz / 1000) / _LOG_STEP


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * _LINEAR, 1000 * np.exp((mel - 15) * _LOG_STEP))


def check_front_end(state: Mapping[str, Tensor], mels: int, sample_rate: int = 32000) -> None:
    """Compare the STFT and mel entries of a released file with the front end it should have.

    Files stored in half precision may differ by its rounding.

    Args:
        sample_rate: in Hz.

    Raises:
        CheckpointError: an entry is missing, misshaped, or holds other values.
    """
    real, imaginary = stft_kernels(WINDOW)
    mel = mel_matrix(sample_rate, WINDOW, mels, FMIN, FMAX)
    expected = {_REAL: real[:, None], _IMAG: imaginary[:, None], _MEL: mel}
    for key, wanted in expected.items():
        if key not in state:
            raise CheckpointError(f"front-end entry {key} is missing")
        found = state[key]
        if tuple(found.shape) != wanted.shape:
            raise CheckpointError(
                f"front-end entry {key} is {tuple(found.shape)}, expected {wanted.shape}"
            )
        difference = float((found.double() - torch.from_numpy(wanted)).abs().max())
        precision = torch.finfo(found.dtype).eps if found.is_floating_point() else 0.0
        if not difference <= max(1e-4, precision) * float(np.abs(wanted).max()):
            raise CheckpointError(
                f"front-end entry {key} differs by {difference:.2g} from a {sample_rate} Hz front "
                f"end with a {WINDOW}-sample Hann window and {mels} mels over {FMIN:g}-{FMAX:g} "
                "Hz: the file was trained on other features"
            )
