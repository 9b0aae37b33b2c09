"""The stage `sample`: a demonstration world of PDF files, and questions about them with gold pages and regions."""

from unidoc_rl.sample.stage import sample

__all__ = ["sample"]
