"""What any process needs: locks, signals, GPU slots, memory, progress, other processes."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
