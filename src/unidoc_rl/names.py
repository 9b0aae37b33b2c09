"""A document's name, from its file's name: safe in paths, page ids and command lines, in any script."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_BYTES = 120  # a page image's file name adds a number and an ending, and must stay under 255


def document_name(file_stem: str) -> str:
    """Letters and their marks, digits, dots, dashes of any script are kept; a run of anything else becomes one `_`."""
    stem = unicodedata.normalize("NFC", file_stem)
    text = "_"  # a mark that stands on nothing that is kept is not kept
    for char in stem:
        is_mark = unicodedata.category(char).startswith("M") and text[-1] not in "._-"
        text += char if is_mark or char.isalnum() or char in ".-" else "_"
    text = re.sub("_+", "_", text).strip("._-")
    if len(text.encode()) > MAX_BYTES:
        digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        text = text.encode()[: MAX_BYTES - 9].decode(errors="ignore").rstrip("._-") + "-" + digest
    return text or "document"


def page_id(document: str, n: int) -> str:
    return f"{document}_{n}"


def split_page_id(page: str) -> tuple[str, int]:
    """The document and the number of a page id."""
    document, _, n = page.rpartition("_")
    return document, int(n)
