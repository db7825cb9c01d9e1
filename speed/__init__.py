"""Our models timed beside installed peers, and other speed-critical code; no run needs it."""
