"""A preset with the values that an experiment overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

Architecture = TypeVar("Architecture")


def resolve(
    presets: Mapping[str, Architecture], preset: str, network: str, **given: Any
) -> Architecture:
    """The preset `name` of `presets` (frozen dataclasses), with the values of `given` that are not
    None.

    Raises:
        ValueError: there is no such preset; the message names the network and the presets.
    """
    if preset not in presets:
        raise ValueError(f"unknown preset {preset!r} of {network}; known: {', '.join(presets)}")
    own: Any = presets[preset]
    changed: Architecture = replace(own, **{k: v for k, v in given.items() if v is not None})
    return changed
