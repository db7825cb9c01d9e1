"""What one full-size model costs on this machine."""
