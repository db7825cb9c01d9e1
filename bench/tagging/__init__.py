"""Labels and located events of a person's own recordings."""
