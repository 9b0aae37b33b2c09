"""Published question sets: by their names, from the hub; and as their authors write them, told apart by their keys."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from unidoc_rl.errors import UnidocError
from unidoc_rl.types import AnswerFormat, Evidence, Question

PUBLISHED = {  # which data set of the hub has them, and in which file
    "vidoseek": ("autumncc/ViDoSeek", "vidoseek.json"),
    "slidevqa": ("autumncc/ViDoSeek", "slidevqa_refined.json"),  # those that can be asked of a whole collection
    "mmlongbench": ("yubo2333/MMLongBench-Doc", "data/train-00000-of-00001.parquet"),
}
_FILES = [*(file for _, file in PUBLISHED.values()), "data/samples.json"]  # which MMLongBench-Doc's repository has


def fetched(name: str) -> Path:
    """The questions of a published set, fetched once."""
    from huggingface_hub import hf_hub_download

    repository, file = PUBLISHED[name]
    try:
        return Path(hf_hub_download(repository, file, repo_type="dataset"))
    except (OSError, ValueError) as error:
        raise UnidocError(
            f"{name}: cannot be fetched from the hub ({error}); get {file} of its data set {repository}, and name that "
            "file, here or on S3"
        ) from error


def in_folder(folder: Path) -> Path | None:
    """The questions in a copy of a published set; None where the folder is none, or that of several."""
    found = [folder / file for file in _FILES if (folder / file).is_file()]
    return found[0] if len(found) == 1 else None


def _listed(given: Any) -> Any:
    """A list, which MMLongBench-Doc writes as the text of one."""
    try:
        return ast.literal_eval(given) if isinstance(given, str) else given
    except (ValueError, TypeError, SyntaxError):
        raise ValueError("expected a list, or the text of one, such as [3, 5]") from None


def _text(given: Any) -> Any:
    return str(given) if isinstance(given, int | float) else given


_Text = Annotated[str, BeforeValidator(_text)]
_Pages = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed)]


class _MMLongBench(BaseModel):
    doc_id: str
    doc_type: str = ""
    question: str
    answer: _Text
    evidence_pages: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_listed)]  # 0: nobody has said which
    evidence_sources: Annotated[list[str], BeforeValidator(_listed)]
    answer_format: AnswerFormat


class _SlideVQA(BaseModel):
    deck_name: str
    qa_id: _Text
    question: str
    answer: _Text
    evidence_pages: _Pages
    reasoning_type: str = ""


def known(data: Any) -> Question | None:
    """The question of an example, where it is in the format of one of these sets."""
    keys = set(data) if isinstance(data, Mapping) else set()
    if keys >= {"doc_id", "evidence_pages"}:
        return _of_mmlongbench(_MMLongBench.model_validate(data), data)
    if keys >= {"deck_name", "evidence_pages"}:
        return _of_slidevqa(_SlideVQA.model_validate(data))
    return None


def _of_mmlongbench(example: _MMLongBench, data: Any) -> Question:
    """Its questions have no names: each gets one of its content, the same wherever it stands."""
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
    answerable = example.answer_format is not AnswerFormat.NONE
    return Question(
        uid=f"mmlongbench_{digest}",
        query=example.question,
        answer=example.answer,
        answer_format=example.answer_format,
        kind=example.doc_type,
        source_type=", ".join(example.evidence_sources),
        file_name=example.doc_id,
        evidence=_on(example.doc_id, filter(None, example.evidence_pages)) if answerable else (),
    )


def _of_slidevqa(example: _SlideVQA) -> Question:
    return Question(
        uid=f"slidevqa_{example.qa_id}",
        query=example.question,
        answer=example.answer,
        answer_format=AnswerFormat.STR,
        kind=example.reasoning_type,
        source_type="",
        file_name=example.deck_name,
        evidence=_on(example.deck_name, example.evidence_pages),
    )


def _on(file_name: str, pages: Iterable[int]) -> tuple[Evidence, ...]:
    return tuple(Evidence(file_name, page, (), None) for page in dict.fromkeys(pages))
