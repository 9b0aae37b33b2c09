"""Documents to a corpus of pages: `from unidoc_rl.ingest import ingest`."""

from unidoc_rl.ingest.stage import ingest

__all__ = ["ingest"]
