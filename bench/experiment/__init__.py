"""What will run: the experiment, its cells, the jobs with their digests, and estimated hours."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
