"""What any process needs: locks, signals, GPU slots, memory, progress, other processes."""
