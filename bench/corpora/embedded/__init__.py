"""Small corpora in the layouts of AudioSet, ESC-50, Speech Commands V2 and DESED, made here."""

from bench.corpora.embedded.bank import Bank
from bench.corpora.embedded.builder import adopt, build, is_ours
from bench.corpora.embedded.sizes import EmbeddedSizes
from bench.corpora.embedded.synthetic import SyntheticBank

__all__ = ["Bank", "EmbeddedSizes", "SyntheticBank", "adopt", "build", "is_ours"]
