"""Our models timed beside installed peers, and what else must be fast; no run needs it."""
