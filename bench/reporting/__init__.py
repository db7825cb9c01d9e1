"""The report and the tables of a profile, made from its records and scores. Needs no torch."""
