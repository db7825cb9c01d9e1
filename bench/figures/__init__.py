"""How figures look, and the pictures that report and MLflow share: drawn only from values."""
