"""MLflow as a view of the records, and curves while trainings run."""
