"""What is to be run: the experiment, its cells, the jobs with their digests, and hours ahead."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
