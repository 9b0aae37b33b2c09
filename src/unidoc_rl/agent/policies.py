"""Policies by their names, as a person writes them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urldefrag

from unidoc_rl.agent.endpoint import Endpoint
from unidoc_rl.agent.endpoint_policy import EndpointPolicy
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Policy
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams


def open_policy(
    name: str, pictures: Pictures, params: AgentParams, *, temperature: float = 0.0, seed: int = 0, tries: int = 8
) -> Policy:
    """What plays: a server's address, with #model behind it where it serves several, or a folder with a model.

    `tries`: how often a server is asked before it counts as away.
    """
    if name.startswith(("http://", "https://")):
        address, model = urldefrag(name)
        endpoint = Endpoint(address, model or None, tries=tries)
        return EndpointPolicy(
            endpoint, pictures.show, temperature=temperature, turn_tokens=params.turn_tokens, seed=seed
        )
    if not Path(name).is_dir():
        raise UnidocError(
            f"policy {name}: no such folder; expected a folder with a model, or the address of an OpenAI-compatible "
            "server: http://host:8000/v1, with #model behind it where it serves several"
        )
    from unidoc_rl.agent.transformers_policy import TransformersPolicy  # here, since it takes seconds to import

    return TransformersPolicy.of(Path(name), pictures.show, params, temperature=temperature, seed=seed)
