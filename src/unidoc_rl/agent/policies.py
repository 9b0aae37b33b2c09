"""Policies by their names, as a person writes them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urldefrag

from unidoc_rl.agent.endpoint import Endpoint
from unidoc_rl.agent.endpoint_policy import EndpointPolicy
from unidoc_rl.agent.hearing import AT_ONCE
from unidoc_rl.agent.kept import for_later_runs
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Policy
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.retry import Pace


def open_policy(
    name: str,
    pictures: Pictures,
    params: AgentParams,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    tries: int = 8,
    pace: Pace | None = None,
    at_once: int = AT_ONCE,
    corpus: str | None = None,
) -> Policy:
    """What plays: a server's address, with #model behind it where it serves several, or a folder with a model.

    Of a server: `tries`, how often it is asked before it counts as away; `pace` and `at_once`, how much it is asked;
    `corpus`, the digest of these pages, where what it writes is kept for later runs.
    """
    if _is_address(name):
        address, model = urldefrag(name)
        return EndpointPolicy(
            Endpoint(address, model or None, tries=tries, pace=pace),
            pictures.show,
            temperature=temperature,
            turn_tokens=params.turn_tokens,
            seed=seed,
            at_once=at_once,
            replies=for_later_runs() if corpus else None,
            corpus=corpus or "",
        )
    check(name)
    from unidoc_rl.agent.transformers_policy import TransformersPolicy  # here, since it takes seconds to import

    return TransformersPolicy.of(Path(name), pictures.show, params, temperature=temperature, seed=seed)


def check(name: str) -> None:
    """That there is such a folder, or could be such a server: before hours of work, at whose end it is needed."""
    if not _is_address(name) and not Path(name).is_dir():
        raise UnidocError(
            f"policy {name}: no such folder; expected a folder with a model, or the address of an OpenAI-compatible "
            "server: http://host:8000/v1, with #model behind it where it serves several"
        )


def _is_address(name: str) -> bool:
    return name.startswith(("http://", "https://"))
