"""Models by their names in the config, and from a model to probabilities."""
