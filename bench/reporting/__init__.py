"""The report and the tables of an experiment, made from its records and scores. Needs no torch."""
