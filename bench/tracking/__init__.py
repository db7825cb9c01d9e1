"""MLflow as a view of the records, and live curves of running training."""
