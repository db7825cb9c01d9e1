"""What is to be run: the experiment, its cells, the jobs with their digests, and hours ahead."""
