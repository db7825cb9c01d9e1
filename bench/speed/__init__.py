"""What things cost and how fast they are, beside installed peers."""
