"""Small damages to files, from a seed: what disks, editors and careless scripts do to them."""

from __future__ import annotations

import random
from collections.abc import Iterator

WORDS = (b"", b"nan", b"-1", b"inf", b"1e999", b"\x00", b"\xff\xfe", "é".encode(), b"null", b"{}")
WORDS += (b"'", b'"', b"\t", b"\n", b",", b":", b"[", b"99999999999999999999", b"../../x", b"0x1")
BINARY = ("flip", "flip", "cut", "drop", "repeat", "zero", "grow")
TEXT = (*BINARY, "word", "word", "lines", "fields", "fields")


def mutations(content: bytes, count: int, seed: str, kinds: tuple[str, ...]) -> Iterator[bytes]:
    """`count` damaged forms of `content`, each by one to three damages of these kinds."""
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        damaged = content
        for _ in range(rng.choice((1, 1, 2, 3))):
            damaged = damage(damaged, rng.choice(kinds), rng)
        yield damaged


def damage(content: bytes, kind: str, rng: random.Random) -> bytes:
    """`content` with one damage: a flipped bit, a cut, a lost or repeated part, another word."""
    if not content:
        return rng.choice(WORDS)
    at = rng.randrange(len(content))
    end = min(len(content), at + rng.choice((1, 2, 8, 64, 1000)))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "drop":
        return content[:at] + content[end:]
    if kind == "repeat":
        return content[:end] + content[at:]
    if kind == "zero":
        return content[:at] + bytes(end - at) + content[end:]
    if kind == "grow":
        return content + rng.randbytes(rng.choice((1, 100)))
    if kind == "word":
        return content[:at] + rng.choice(WORDS) + content[end:]
    separator = b"\n" if kind == "lines" else rng.choice((b"\t", b",", b" ", b"\n"))
    parts = content.split(separator)
    one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    parts[one], parts[other] = rng.choice(
        ((parts[other], parts[one]), (parts[one], parts[one]), (rng.choice(WORDS), parts[other]))
    )
    return separator.join(parts)
