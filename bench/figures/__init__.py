"""How figures look, and the pictures that report and MLflow share: drawn from values alone."""
