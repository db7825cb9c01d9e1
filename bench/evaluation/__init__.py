"""From scores to records: thresholds chosen on validation, the test split scored once."""
