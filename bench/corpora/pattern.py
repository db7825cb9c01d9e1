"""Path patterns that describe the names of audio files, such as `{label}/{group}_{take}.wav`."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches

from bench.corpora.reading import AUDIO_SUFFIXES, composed, stem_of
from bench.files import UserError

FIELDS = ("label", "group", "fold", "split", "take", "ignore")
_FIELD = re.compile(r"\{([^{}:]*)(?::((?:[^{}]|\{[^{}]*\})+))?\}")  # \d{4} has braces too


class Ambiguous(ValueError):
    """A name that matches a pattern in two ways."""


class Pattern:
    r"""A path below the data set's folder, with fields in braces.

    A field matches one or more characters other than a slash; `{take:\d+}` matches a regular
    expression. `{ignore}` may appear any number of times; another field that appears twice has the
    same value twice. A pattern without a suffix matches audio in every format.
    """

    def __init__(self, text: str, where: str) -> None:
        """Read a pattern; `where` is its key in the config.

        Raises:
            UserError: an unknown field, braces that do not close, no regular expression, or no
                `{label}`.
        """
        self.text = text = composed(text)
        stem, suffix = os.path.splitext(text)
        self.suffix = suffix.lower() if suffix.lower() in AUDIO_SUFFIXES else ""
        stem = stem if self.suffix else text
        pieces = _FIELD.split(stem)
        self.fields = tuple(dict.fromkeys(pieces[1::3]))
        for field in self.fields:
            if field not in FIELDS:
                close = get_close_matches(field, FIELDS, n=1)
                said = f"did you mean {{{close[0]}}}? " if close else ""
                raise UserError(
                    f"{where}: '{text}' has the unknown field {{{field}}}; {said}"
                    f"(valid: {', '.join(FIELDS)})"
                )
        if any(set(fixed) & set("{}") for fixed in pieces[::3]):
            raise UserError(
                f"{where}: '{text}' has a brace that belongs to no field; write a field as in "
                "{label}"
            )
        if "label" not in self.fields:
            raise UserError(
                f"{where}: '{text}' has no {{label}}; write it where the class stands in the names"
            )
        try:
            self._lazy, self._greedy = (re.compile(_regex(pieces, end)) for end in ("+?", "+"))
        except re.error as error:
            raise UserError(
                f"{where}: '{text}' is no valid pattern ({error}); correct its regular expression"
            ) from error

    def fields_of(self, path: str) -> dict[str, str] | None:
        """The fields in a file's path; None if it does not match the pattern.

        Raises:
            Ambiguous: it matches in two ways.
        """
        if self.suffix and os.path.splitext(path)[1].lower() != self.suffix:
            return None
        stem = composed(stem_of(path))
        lazy, greedy = self._lazy.fullmatch(stem), self._greedy.fullmatch(stem)
        if lazy is None or greedy is None:
            return None
        if lazy.groupdict() != greedy.groupdict():
            one, other = (_told(match.groupdict()) for match in (lazy, greedy))
            raise Ambiguous(f"fits in two ways: {one}, or {other}")
        return lazy.groupdict()


def _regex(pieces: list[str], repeat: str) -> str:
    """The regular expression of (text, field, expression, text, …), fields repeated like this."""
    parts, seen = [re.escape(pieces[0])], set()
    for field, expression, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        inner = expression or f"[^/]{repeat}"
        if field == "ignore":
            parts.append(f"(?:{inner})")
        elif field in seen:
            parts.append(f"(?P={field})")
        else:
            parts.append(f"(?P<{field}>{inner})")
            seen.add(field)
        parts.append(re.escape(text))
    return "".join(parts)


def _told(fields: dict[str, str]) -> str:
    return ", ".join(f"{field} '{value}'" for field, value in fields.items())
