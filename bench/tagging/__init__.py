"""What sounds in a person's own recording, and when."""
