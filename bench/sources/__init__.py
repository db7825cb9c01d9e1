"""Where data and checkpoints come from: the registry, downloads, safe unpacking, and audio
sources."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
