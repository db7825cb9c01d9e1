"""Whether a file without a published checksum is at least of the kind that its name says."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bench.files import UserError

TEXTS = (".csv", ".tsv", ".txt", ".json")
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin")
PAGES = (b"<!doctype", b"<html", b"<?xml")


def refuse_other(path: Path) -> None:
    """Refuse the page of a network's login, or a truncated file, which would be recorded as the
    right one. Archives are checked by unpacking.

    Raises:
        UserError: naming the file and what is wrong.
    """
    suffix = path.suffix.lower()
    with open(path, "rb") as file:
        beginning = file.read(512)
    wrong = ""
    if beginning.lstrip().lower().startswith(PAGES) and suffix not in (".html", ".xml"):
        wrong = "a web page, perhaps of a network that requires a login"
    elif suffix in TEXTS:
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            wrong = "not text"
    elif suffix in WEIGHTS and beginning[:2] == b"PK" and not zipfile.is_zipfile(path):
        wrong = "cut short"
    if wrong:
        raise UserError(f"{path}: is {wrong}; remove it if it is there, and fetch it again")
