"""A vLLM server that plays for a training: it takes the weights that were learned, and tells each token of its turns.

It is started with VLLM_SERVER_DEV_MODE=1, --trust-request-chat-template and --logprobs-mode=processed_logprobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urldefrag

from pydantic import BaseModel, Field, model_validator

from unidoc_rl.agent.endpoint import BUSY, Endpoint, EndpointAway
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import Message, Picture, Role

FAILED = 500  # what vLLM answers where weights cannot be loaded; it plays no more then, and is not asked again
NEVER, SURELY = -100.0, 100.0  # added to the logits of tokens, so that they are not drawn, or are

CERTAIN = 0.01  # how far the log-probability of what is surely drawn is from 0, at most

# What vLLM has seen of pictures. Its workers forget it with the weights; what plans their work does not, and would have
# them look it up.
SEEN = ("/reset_mm_cache", "/reset_encoder_cache")

# What the `generation_config.json` of a model may say otherwise: tokens are drawn as the model gives them.
AS_IT_IS = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class Drawn(NamedTuple):
    """A turn, token by token."""

    read: list[int]  # the whole conversation before it
    ids: list[int]
    chances: list[float]  # log-probabilities that each of `ids` was drawn with


class _Token(BaseModel):
    logprob: float


class _Tokens(BaseModel):
    content: list[_Token]


class _Choice(BaseModel):
    token_ids: Annotated[list[int], Field(min_length=1)]
    logprobs: _Tokens

    @model_validator(mode="after")
    def _one_for_each(self) -> _Choice:
        if len(self.logprobs.content) != len(self.token_ids):
            raise ValueError("as many logprobs as token_ids are wanted")
        return self


class _Drawn(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    prompt_token_ids: list[int]


class _Version(BaseModel):
    weight_version: str


class _Model(BaseModel):
    id: str
    max_model_len: int | None = None  # not told of what is served as changes to another


class _Served(BaseModel):
    data: list[_Model]


class _Reset(BaseModel):
    success: bool


class Vllm(Endpoint):
    """For any number of threads."""

    def __init__(self, name: str, **how: Any) -> None:
        """`name`: the server's address, up to and with /v1, with #model behind it where it serves several."""
        address, model = urldefrag(name)
        super().__init__(address, model or None, **how)
        self._root = address.rstrip("/").removesuffix("/v1")

    def take(self, folder: Path, version: str) -> None:
        """Plays with the weights in this folder from now on, which then have this name.

        The name comes first: whoever plays with the weights that are replaced is to find out, however far this gets.
        """
        self._told("/update_weight_version", {"new_version": version})
        try:
            asked = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
            self._told("/collective_rpc", asked, busy=BUSY - {FAILED})
        except EndpointAway as error:
            raise UnidocError(
                f"{error}. It was to take the weights in {folder}, which it must see there as this process does: on a "
                "volume that both share, if on two machines. Start it anew, and run this again"
            ) from error
        for cache in SEEN:
            self._told(cache, {})
        if not self._read(_Reset, self._told("/reset_prefix_cache", {})).success:
            raise UnidocError(
                f"endpoint {self._address}: is at work for somebody else, with weights that were to be replaced; give "
                "each training a server of its own"
            )

    def version(self) -> str:
        """The name of the weights that it plays with; another one than was given, since it was started anew."""
        path = "/weight_info"
        return self._read(_Version, self._ask(lambda: self._http.get(self._root + path), _opened(path))).weight_version

    def refuse_to_play_shorter(self, longest: int) -> None:
        """It would end episodes that the protocol does not, and they would be rewarded for how they ended."""
        found = self._read(_Served, self._ask(lambda: self._http.get("/models"), "a list of models"))
        for one in found.data:
            if one.id == self.model and one.max_model_len is not None and one.max_model_len < longest:
                raise UnidocError(
                    f"endpoint {self._address}: reads {one.max_model_len} tokens at most, and an episode may have "
                    f"{longest}: those of agent.context_tokens, and of a turn; start it with a larger --max-model-len, "
                    "or set a smaller agent.context_tokens"
                )

    def refuse_other_chances(self) -> None:
        """Those before temperature and bias, which vLLM tells where it is not started as it must be."""
        asked = {"max_tokens": 1, "temperature": 1.0, "logit_bias": {"0": SURELY}}
        (chance,) = self._drawn([Message(Role.USER, ("Hello",))], None, asked).chances
        if abs(chance) > CERTAIN:
            raise UnidocError(
                f"endpoint {self._address}: tells other chances than it draws with; start it with "
                "--logprobs-mode=processed_logprobs"
            )

    def draw(
        self,
        messages: Sequence[Message],
        *,
        chat_template: str,
        end: int,
        never: Sequence[int],
        max_tokens: int,
        temperature: float,
        seed: int,
        png: Callable[[Picture], bytes],
    ) -> Drawn:
        """The next turn, up to and with the token `end`, and with none of `never`."""
        asked = {
            "chat_template": chat_template,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop_token_ids": [end],
            "logit_bias": {str(token): NEVER for token in never},
        }
        return self._drawn(messages, png, asked)

    def _drawn(
        self, messages: Sequence[Message], png: Callable[[Picture], bytes] | None, asked: Mapping[str, Any]
    ) -> Drawn:
        told = {"logprobs": True, "return_token_ids": True, **AS_IT_IS}
        found = self._read(_Drawn, self._continued(messages, png, {**asked, **told}))
        choice = found.choices[0]
        return Drawn(found.prompt_token_ids, choice.token_ids, [token.logprob for token in choice.logprobs.content])

    def _told(self, path: str, body: Mapping[str, Any], busy: frozenset[int] = BUSY) -> Any:
        return self._ask(lambda: self._http.post(self._root + path, json=body), _opened(path), busy)


def _opened(path: str) -> str:
    return f"{path}, which VLLM_SERVER_DEV_MODE=1 opens from release 0.32 on"
