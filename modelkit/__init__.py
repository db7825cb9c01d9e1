"""What the models share: the output type, augmentation, resizing, safe checkpoints."""
