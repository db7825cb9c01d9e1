"""HTS-AT: the model of the paper, its presets, switches and checkpoints."""

from htsat.model import HTSAT

__all__ = ["HTSAT"]
