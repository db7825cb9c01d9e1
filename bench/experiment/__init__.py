"""What is to be run: the profile, its cells, the jobs with their digests, and hours ahead."""
