"""Where data and checkpoints come from: the registry, safe unpacking, and the ways to audio."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
