"""A rehearsal: a few real steps of each stage for every distinct run of an experiment."""
