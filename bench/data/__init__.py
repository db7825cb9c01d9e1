"""The stages before training: data is fetched, checked, and turned into features."""
