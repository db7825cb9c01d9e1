"""Around an experiment's runs: checks, plan, rehearsal, status, origin of a number."""

CHANGES_RESULTS = False
"""Editing this folder re-runs nothing, see `bench.code_digest`."""
