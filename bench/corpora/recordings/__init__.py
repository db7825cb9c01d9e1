"""Real recordings that Debian packages carry, as a bank of sounds for the embedded corpora."""
