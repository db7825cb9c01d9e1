"""What HTS-AT, AST and PANN share: the output type, augmentation, resizing, safe checkpoints."""
