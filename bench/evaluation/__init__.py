"""From scores to records: thresholds chosen on validation, the test split scored once."""

SCHEMA = 2
"""The form of record.json; a report leaves records of another form out."""
