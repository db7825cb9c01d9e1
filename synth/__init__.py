"""Small corpora in the layouts of AudioSet, ESC-50, Speech Commands V2 and DESED, made here."""

from synth.bank import Bank
from synth.builder import adopt, build, is_ours
from synth.sizes import EmbeddedSizes

__all__ = ["Bank", "EmbeddedSizes", "adopt", "build", "is_ours"]
