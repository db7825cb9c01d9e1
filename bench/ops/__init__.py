"""Before, while and after an experiment runs: checks, plan, status, where a number came from."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
