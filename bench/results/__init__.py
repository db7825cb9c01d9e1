"""What a run leaves behind as typed values, and everything that is computed from them, once."""
