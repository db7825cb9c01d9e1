"""Length of an MP3 file by its frame headers, without decoding.

libsndfile takes the length from a Xing or Info header in the first frame. Where there is none, it
estimates it by the bit rate of that frame, and reads no further. The headers are those of ISO/IEC
11172-3 (MPEG-1) and 13818-3 (MPEG-2), and of the extension to low sample rates known as MPEG-2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

KBITS = {  # by MPEG-1 or not, and layer; the first is "free format", which is not read here
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44100, 48000, 32000)  # Hz, of MPEG-1
SLOWER = {3: 1, 2: 2, 0: 4}  # MPEG-1, MPEG-2 and MPEG-2.5 by the bits of their version
COUNT_STATED = 1  # flag of a Xing or Info header


class Length(NamedTuple):
    """Seconds in all frames, and whether the first frame states how many they are."""

    seconds: float
    stated: bool


class _Frame(NamedTuple):
    bytes: int
    samples: int
    rate: int


def length_of(path: str | Path) -> Length | None:
    """The length of an MP3 file; None if it has no frames of MPEG layer II or III."""
    data = Path(path).read_bytes()
    frames = list(_frames(data))
    if not frames:
        return None
    first = frames[0][0]
    seconds = math.fsum(frame.samples / frame.rate for _, frame in frames)
    return Length(seconds, _states_count(data[first : first + 48]))


def _states_count(head: bytes) -> bool:
    """Whether a frame that begins so is no sound, but a header with the number of frames."""
    at = max(head.find(b"Xing"), head.find(b"Info"))
    return at > 0 and bool(head[at + 7 : at + 8] and head[at + 7] & COUNT_STATED)


def _frames(data: bytes) -> Iterator[tuple[int, _Frame]]:
    """Place and facts of each frame; what lies between them (tags, damage) is skipped."""
    place, in_step = 0, False
    while 0 <= place < len(data):
        if data.startswith(b"ID3", place) and len(data) >= place + 10:
            size = 0
            for byte in data[place + 6 : place + 10]:
                size = size << 7 | byte & 0x7F
            place += 10 + size
            in_step = False
            continue
        frame = _frame(data[place : place + 3])
        if frame is None or not (in_step or _is_followed(data, place, frame)):
            place, in_step = data.find(b"\xff", place + 1), False
            continue
        yield place, frame
        place, in_step = place + frame.bytes, True


def _is_followed(data: bytes, place: int, frame: _Frame) -> bool:
    """Whether another frame of its kind, or the end, comes where a frame should end."""
    end = place + frame.bytes
    following = _frame(data[end : end + 3])
    return end == len(data) or (following is not None and following[1:] == frame[1:])


@cache
def _frame(header: bytes) -> _Frame | None:
    """What the first three bytes of a frame say; None if they are not those of a frame."""
    if len(header) < 3 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, kbits = header[2] >> 2 & 3, header[2] >> 4
    if version not in SLOWER or layer not in (2, 3) or rate == 3 or kbits in (0, 15):
        return None
    hertz = RATES[rate] // SLOWER[version]
    samples = 576 if layer == 3 and version != 3 else 1152
    bits = KBITS[version == 3, layer][kbits] * 1000
    return _Frame(samples // 8 * bits // hertz + (header[2] >> 1 & 1), samples, hertz)
