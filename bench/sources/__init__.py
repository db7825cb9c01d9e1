"""Where data and checkpoints come from: the registry, safe unpacking, and the ways to audio."""
