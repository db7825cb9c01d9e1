"""From a resolved config to trained weights, resumable at every batch."""
