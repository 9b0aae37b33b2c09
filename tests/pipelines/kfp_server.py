"""A server that speaks the API of Kubeflow Pipelines as recorded from version 2, and checks what it is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict

from tests import servers

API = "/apis/v2beta1"
NOW = "2026-11-25T09:30:00Z"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewPipeline(_Strict):
    display_name: str
    name: str
    namespace: str | None = None


class NewExperiment(_Strict):
    display_name: str
    namespace: str | None = None


class _Version(_Strict):
    pipeline_id: str
    pipeline_version_id: str


class _Runtime(_Strict):
    parameters: dict[str, str]


class NewRun(_Strict):
    display_name: str
    experiment_id: str
    service_account: str | None = None
    pipeline_version_reference: _Version
    runtime_config: _Runtime


class _Predicate(_Strict):
    operation: Literal["EQUALS"]
    key: Literal["display_name"]
    stringValue: str


class _Filter(_Strict):
    predicates: tuple[_Predicate]


@dataclass
class Fault:
    """What goes wrong with the first `times` requests that begin so. A status of 0 breaks off; negative: after the
    work was done, which is what a lost answer is."""

    begins: str  # "POST /pipelines/upload_version"
    status: int
    times: int = 1
    page: bytes | None = None  # that comes with it, instead of words of its own


Answer = tuple[int, Any]


@dataclass
class Kfp:
    """Everything that it has been given, in the order in which it came."""

    key: str | None = None  # the header Authorization that it wants
    cookie: str | None = None
    certificate: Path | None = None
    multi_user: bool = False
    release: str = "2.14.0"
    faults: list[Fault] = field(default_factory=list)
    two: bool = False  # who look for a thing at the same time, so that both miss it
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)  # of a run, one a question; the last one stays
    asked: list[str] = field(default_factory=list)
    url: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _meetings: dict[str, tuple[threading.Barrier, int]] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[Kfp]:
        kfp = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kfp._handle(self, "GET")

            def do_POST(self) -> None:
                kfp._handle(self, "POST")

            def log_message(self, *_: object) -> None:
                pass

        with servers.serving(Handler, self.certificate) as url:
            self.url = url
            yield self

    def _handle(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = urlsplit(handler.path)
        asked = f"{method} {parts.path.removeprefix(API)}"
        with self._lock:
            self.asked.append(asked)
            fault = next((one for one in self.faults if one.times and asked.startswith(one.begins)), None)
            if fault is not None:
                fault.times -= 1
        if self._refused(handler):
            answer: Answer = 401, {"error": "Unauthenticated: no valid key", "code": 16}
        elif fault is not None and fault.status >= 0:
            answer = fault.status, {"error": f"InternalServerError: told to answer {fault.status}", "code": 13}
        else:
            query = dict(parse_qsl(parts.query))
            answer = self._answer(method, parts.path.removeprefix(API), query, body, handler.headers["Content-Type"])
            if fault is not None:
                answer = 0, None
        status, content = answer
        page = fault.page if fault is not None and status == fault.status else None
        text = page if page is not None else json.dumps(content)
        servers.give(handler, (status, {"Content-Type": "application/json"}, text) if status else None)

    def _refused(self, handler: BaseHTTPRequestHandler) -> bool:
        if self.key is not None and handler.headers["Authorization"] != self.key:
            return True
        return self.cookie is not None and handler.headers["Cookie"] != self.cookie

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Answer:
        routes: dict[tuple[str, str], Callable[[], Answer]] = {
            ("GET", "/healthz"): lambda: (200, {"tag_name": self.release, "multi_user": self.multi_user}),
            ("GET", "/pipelines"): lambda: self._list("pipelines", self.pipelines, query),
            ("POST", "/pipelines"): lambda: self._make_pipeline(NewPipeline.model_validate_json(body)),
            ("POST", "/pipelines/upload_version"): lambda: self._upload(query, body, kind),
            ("GET", "/experiments"): lambda: self._list("experiments", self.experiments, query),
            ("POST", "/experiments"): lambda: self._make_experiment(NewExperiment.model_validate_json(body)),
            ("GET", "/runs"): lambda: self._list("runs", self.runs, query),
            ("POST", "/runs"): lambda: self._make_run(NewRun.model_validate_json(body)),
        }
        if (method, path) in routes:
            return routes[method, path]()
        match path.strip("/").split("/"):
            case ["pipelines", pipeline, "versions"] if method == "GET":
                ours = [one for one in self.versions if one["pipeline_id"] == pipeline]
                return self._list("pipeline_versions", ours, query)
            case ["runs", run] if method == "GET" and any(one["run_id"] == run for one in self.runs):
                state = self.states.pop(0) if len(self.states) > 1 else self.states[0] if self.states else {}
                return 200, next(one for one in self.runs if one["run_id"] == run) | state
        return 404, {"error": f"NotFoundError: {path} not found", "code": 5}

    def _list(self, kind: str, things: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        assert self.multi_user is False or query.get("namespace") or kind in ("pipeline_versions", "runs")
        found = list(things)
        if "filter" in query:
            (wanted,) = _Filter.model_validate_json(query["filter"]).predicates
            found = [one for one in found if one["display_name"] == wanted.stringValue]
        start = int(query.get("page_token") or 0)
        size = int(query.get("page_size") or 10)
        if self.two:
            self._meet(kind)
        page: dict[str, Any] = {kind: found[start : start + size], "total_size": len(found)}
        if start + size < len(found):
            page["next_page_token"] = str(start + size)
        return 200, page

    def _meet(self, kind: str) -> None:
        """The first two who ask for this kind of thing hear of it together."""
        with self._lock:
            barrier, asked = self._meetings.get(kind, (threading.Barrier(2, timeout=30), 0))
            self._meetings[kind] = barrier, asked + 1
        if asked < 2:
            barrier.wait()

    def _make(self, things: list[dict[str, Any]], thing: dict[str, Any], key: str, same: tuple[str, ...]) -> Answer:
        with self._lock:
            if any(all(one.get(name) == thing.get(name) for name in same) for one in things):
                return 409, {"error": f"AlreadyExistsError: {thing['display_name']} already exists", "code": 6}
            things.append({key: f"{key[:3]}-{len(things)}", "created_at": NOW, **thing})
            return 200, things[-1]

    def _make_pipeline(self, new: NewPipeline) -> Answer:
        assert (new.namespace is not None) == self.multi_user
        return self._make(self.pipelines, new.model_dump(), "pipeline_id", ("display_name", "namespace"))

    def _make_experiment(self, new: NewExperiment) -> Answer:
        assert (new.namespace is not None) == self.multi_user
        return self._make(self.experiments, new.model_dump(), "experiment_id", ("display_name", "namespace"))

    def _upload(self, query: dict[str, str], body: bytes, kind: str) -> Answer:
        assert {*query} == {"name", "pipelineid"}
        assert any(one["pipeline_id"] == query["pipelineid"] for one in self.pipelines)
        parsed = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        (part,) = (one for one in parsed.walk() if not one.is_multipart())
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        package = part.get_payload(decode=True)
        assert isinstance(package, bytes)
        spec = [*yaml.safe_load_all(package)]
        new = {"display_name": query["name"], "name": query["name"], "pipeline_id": query["pipelineid"]}
        return self._make(
            self.versions, {**new, "pipeline_spec": spec[0]}, "pipeline_version_id", ("pipeline_id", "name")
        )

    def _make_run(self, new: NewRun) -> Answer:
        wanted = new.pipeline_version_reference
        version = next(one for one in self.versions if one["pipeline_version_id"] == wanted.pipeline_version_id)
        assert version["pipeline_id"] == wanted.pipeline_id
        assert any(one["experiment_id"] == new.experiment_id for one in self.experiments)
        inputs = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        needed = {name for name, one in inputs.items() if "defaultValue" not in one}
        assert needed <= {*new.runtime_config.parameters} <= {*inputs}
        return self._make(self.runs, {**new.model_dump(), "state": "PENDING"}, "run_id", ("run_id",))
