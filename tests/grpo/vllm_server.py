"""A server that speaks vLLM's protocol, recorded of release 0.32, as far as a training needs it: it checks what it is
asked, and plays with a model that it really loads."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from PIL import Image
from pydantic import Field
from transformers import AutoModelForImageTextToText

from tests import servers
from tests.agent.chat import Strict, Text, Told, error
from unidoc_rl.agent.encoding import Encoder, Looked

CACHES = ("/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")  # how each is emptied
NEVER_DRAWN = 0.1  # log-probabilities apart: what a server leaves out, a random model gives some chances in 100
BORN_WITH = "default"  # the name of the weights that it was started with


class _Asked(Strict):
    """Whatever changes the chances of tokens must be said: what is not is taken from the model's own folder."""

    model: Literal["policy"]
    messages: list[Told]
    chat_template: str | None = None
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stop_token_ids: Annotated[list[int], Field(default_factory=list)]
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]]
    logprobs: Literal[True]
    return_token_ids: Literal[True]
    top_p: Annotated[float, Field(ge=1, le=1)]
    top_k: Literal[0]
    min_p: Annotated[float, Field(ge=0, le=0)]
    repetition_penalty: Annotated[float, Field(ge=1, le=1)]


class _Rpc(Strict):
    method: Literal["reload_weights"]
    kwargs: dict[Literal["weights_path"], str]


class _Named(Strict):
    new_version: str


@dataclass
class Served:
    """`redrawn`: what becomes of a turn's tokens and their chances before they are told.

    `script`: the turns of an episode, as far as they are not drawn. `breaks`: which draws end with no answer.
    """

    folder: Path
    script: Sequence[str] = ()
    breaks: Container[int] = ()
    redrawn: Callable[[list[int], list[float]], tuple[list[int], list[float]]] = lambda ids, chances: (ids, chances)
    trusting: bool = True  # of a chat template that a request brings
    processed: bool = True  # are chances, by temperature and bias, before they are told
    developing: bool = True
    sees: bool = True  # the folder of the weights
    idle: bool = True
    longest: int = 100_000  # tokens of a conversation
    url: str = ""
    versions: list[str] = field(default_factory=lambda: [BORN_WITH])
    drawn: int = 0
    stale: set[str] = field(default_factory=set)  # caches that hold what was made with weights that are gone

    def __post_init__(self) -> None:
        self.encoder = Encoder.of(self.folder)
        self.model = self._loaded(self.folder)
        self._one = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Served]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                told = {
                    "/v1/models": {"data": [{"id": "policy", "max_model_len": served.longest}]},
                    "/weight_info": {"weight_version": served.versions[-1]},
                }
                servers.give(self, _ok(told[self.path]))

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                with served._one:
                    servers.give(self, served.answer(self.path, text))

            def log_message(self, *_: object) -> None:
                pass

        with servers.serving(Handler) as url:
            self.url = f"{url}/v1"
            yield self

    def answer(self, path: str, text: bytes) -> servers.Given | None:
        if path == "/v1/chat/completions":
            return self._continue(_Asked.model_validate_json(text))
        if not self.developing:
            return error(404, "Not Found")
        if path == "/collective_rpc":
            file = Path(_Rpc.model_validate_json(text).kwargs["weights_path"]) / "model.safetensors"
            if not (self.sees and file.is_file()):
                return error(500, f"Call to collective_rpc method failed: Worker failed with error '{file.parent}'")
            self.model = self._loaded(file.parent)
            self.stale = set(CACHES) if self.drawn else set()
            return _ok({"results": [None]})
        if path in CACHES[1:]:
            self.stale.discard(path)
            return 200, {}, ""
        if path == CACHES[0]:
            self.stale.discard(path)
            return _ok({"success": self.idle})
        assert path == "/update_weight_version"
        self.versions.append(_Named.model_validate_json(text).new_version)
        return _ok({"success": True, "new_version": self.versions[-1]})

    def _loaded(self, folder: Path) -> Any:
        model: Any = AutoModelForImageTextToText.from_pretrained(folder)
        return model.eval()

    @torch.inference_mode()
    def _continue(self, asked: _Asked) -> servers.Given | None:
        if asked.chat_template is None:
            return self._told([0], *self._drawn([0], [], asked))
        if not self.trusting:
            return error(400, "Chat template is passed with request, but --trust-request-chat-template is not set.")
        assert not self.stale  # of pictures: the real one ends here, "Encoder cache miss"
        self.encoder.tokenizer.chat_template = asked.chat_template
        told = [(message.role, _parts(message)) for message in asked.messages]
        looked = [self.encoder.look(part) for _, parts in told for part in parts if not isinstance(part, str)]
        text = self.encoder.write(told, begin_turn=True)
        read = self.encoder.ids(text, [self.encoder.squares(one) for one in looked])
        self.drawn += 1
        if self.drawn in self.breaks:
            return None
        return self._told(read, *self.redrawn(*self._drawn(read, looked, asked)))

    def _told(self, read: list[int], ids: list[int], chances: list[float]) -> servers.Given:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.encoder.tokenizer.decode(ids, skip_special_tokens=True)},
            "logprobs": {"content": [{"token": "", "logprob": one, "top_logprobs": []} for one in chances]},
            "finish_reason": "stop" if self.encoder.end in ids else "length",
            "token_ids": ids,
        }
        return _ok({"object": "chat.completion", "model": "policy", "choices": [choice], "prompt_token_ids": read})

    def _drawn(self, read: list[int], looked: list[Looked], asked: _Asked) -> tuple[list[int], list[float]]:
        """Token by token, each with the whole conversation read anew."""
        die = torch.Generator().manual_seed(asked.seed)
        given: dict[str, Any] = {}
        if looked:
            given["pixel_values"] = torch.cat([one.pixels for one in looked])
            given["image_grid_thw"] = torch.stack([one.grid for one in looked])
        turn = sum(message.role == "assistant" for message in asked.messages)
        written = self.script[turn : turn + 1] if asked.chat_template else ()
        said = [token for text in written for token in (*self.encoder.ids(text, []), self.encoder.end)]
        ids: list[int] = []
        chances: list[float] = []
        while len(ids) < asked.max_tokens and (not ids or ids[-1] not in asked.stop_token_ids):
            whole = torch.tensor([[*read, *ids]])
            kinds = (whole == self.encoder.image).int()
            logits = self.model(input_ids=whole, mm_token_type_ids=kinds, **given).logits[0, -1]
            raw = torch.log_softmax(logits, -1)
            for token, bias in asked.logit_bias.items():
                logits[int(token)] += bias
            logps = torch.log_softmax(logits / (asked.temperature or 1.0), -1)
            drawn = logps.argmax() if asked.temperature == 0 else torch.multinomial(logps.exp(), 1, generator=die)[0]
            ids.append(said[len(ids)] if said else int(drawn))
            chances.append(float((logps if self.processed else raw)[ids[-1]]))
        return ids, chances


def _ok(body: Any) -> servers.Given:
    return 200, {"Content-Type": "application/json"}, json.dumps(body)


def gaps(out: Path) -> list[float]:
    """How far the server's log-probabilities were from those of what learned, in each step of a training."""
    history = json.loads((out / "grpo.json").read_text())["history"]
    return [row["server/gap"] for row in history if "server/gap" in row]


def _parts(message: Told) -> list[Any]:
    """Texts, and pictures."""
    if isinstance(message.content, str):
        return [message.content]
    return [part.text if isinstance(part, Text) else _opened(part.image_url.url) for part in message.content]


def _opened(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")
