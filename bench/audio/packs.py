"""PANNs' packs: HDF5 files of clips as int16 (or, from older commits, float32) rows.

qiuqiangkong/audioset_tagging_cnn, utils/dataset.py: `audio_name` (N,), `waveform` (N, samples),
`target` (N, classes) and the attribute `sample_rate`. A clip that could not be downloaded is a row
of zeros without labels. Rows follow each other like parts of one long recording: row i begins at
i * samples / rate seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.files import UserError

if TYPE_CHECKING:
    import h5py

PACK_SUFFIXES = (".h5", ".hdf5")
PUBLISHED_RATE = 32_000  # Hz, of packs without the attribute


def pack_clips(path: str | Path) -> Iterator[tuple[str, float, float]]:
    """(name, start, duration) of every clip in a pack; times in seconds.

    Raises:
        UserError: not such a pack.
    """
    with _open(path) as pack:
        samples, rate = pack["waveform"].shape[1], _rate(pack)
        targets = pack.get("target")
        for row, name in enumerate(pack["audio_name"][:]):
            labelled = targets is None or targets[row].any()
            if labelled and name:
                text = name.decode() if isinstance(name, bytes) else str(name)
                yield text, row * samples / rate, samples / rate


def read_row(path: str | Path, start_s: float) -> tuple[np.ndarray, int]:
    """Samples of the clip that begins at `start_s`, float32 (n,), and their rate in Hz.

    Raises:
        UserError: not such a pack, or no clip begins there.
    """
    with _open(path) as pack:
        samples, rate = pack["waveform"].shape[1], _rate(pack)
        row = round(start_s * rate / samples)
        if not 0 <= row < len(pack["waveform"]):
            raise UserError(f"{path}: no clip at {start_s} s")
        values = pack["waveform"][row]
    if values.dtype == np.int16:
        return values.astype(np.float32) / np.float32(32768.0), rate
    return values.astype(np.float32), rate


def _rate(pack: h5py.File) -> int:
    rate = int(pack.attrs.get("sample_rate", PUBLISHED_RATE))
    return rate if rate > 0 else PUBLISHED_RATE


def _open(path: str | Path) -> h5py.File:
    import h5py  # late: only those who have packs need it

    pack = None
    try:
        pack = h5py.File(path, "r")
        waveform, names = pack["waveform"], pack["audio_name"]
        if waveform.ndim == 2 and waveform.shape[1] and len(names) == len(waveform):
            return pack
        reason = f"waveform {waveform.shape} and audio_name {names.shape} do not go together"
    except (OSError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error)
    with suppress(Exception):
        pack.close()  # type: ignore[union-attr]
    raise UserError(f"{path}: not a pack of AudioSet clips ({reason})")
