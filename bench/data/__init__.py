"""The stages before training: what a run reads, brought here, checked, and made into features."""
