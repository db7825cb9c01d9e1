"""The results of runs as typed values, and everything that is computed from them, once."""
