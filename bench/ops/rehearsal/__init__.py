"""A rehearsal: every distinct run of an experiment taken through a few real steps of each stage."""
