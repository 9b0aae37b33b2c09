"""What a pipeline will need hours from now, looked for at once: servers, models, question files, nodes and GPUs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urldefrag

from unidoc_rl import cluster, doctor, questions, s3, trainjob
from unidoc_rl.agent import policies
from unidoc_rl.agent.endpoint import Endpoint
from unidoc_rl.agent.judge import address_of
from unidoc_rl.agent.vllm import Vllm
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params, PipelineParams
from unidoc_rl.types import Message, Role, Split

SECONDS = 10.0  # for each server; in a cluster they may just be starting
WORD_SECONDS = 60.0  # for a model's first word; others may be asking it much


def check(params: Params, asked: Path | None = None, seconds: float = SECONDS, shared: Path = trainjob.SHARED) -> None:
    """Raises everything that is missing, in one error. `asked`: the folder of the question files, where it is there."""
    problems = [
        *(finding.line() for finding in doctor.servers(params, seconds) if not finding.ok and finding.subject != "kfp"),
        *_models(params, seconds),
        *_player(params, seconds),
        *(_questions(asked, params.curate.teacher is not None) if asked else ()),
        *_shared_out(params),
        *(_nodes(seconds) if params.pipeline.nodes else ()),
        *(lost_with_a_pod(params) if cluster.IN_A_POD in os.environ else ()),
        *(_volume(shared) if cluster.IN_A_POD in os.environ and params.pipeline.nodes else ()),
        *(_gpus(params.pipeline, seconds) if cluster.IN_A_POD in os.environ and params.pipeline.gpus else ()),
    ]
    if problems:
        raise UnidocError("\n".join(problems))


def lost_with_a_pod(params: Params) -> Iterator[str]:
    """What would be written beside a task, and be gone when it ends."""
    if params.services.mlflow is None:
        yield "services.mlflow: names none, and a task's own database is lost with its pod; name one: http://mlflow:5000"
    elif params.services.mlflow.startswith(doctor.SQLITE):
        yield f"services.mlflow: {params.services.mlflow} is lost with its task's pod; name a server, http://mlflow:5000"
    if params.index.uri is not None and "://" not in params.index.uri:
        yield f"index.uri: {params.index.uri} is lost with its task's pod; name a server, http://milvus:19530, or none"


def _models(params: Params, seconds: float) -> Iterator[str]:
    named = {
        "sft.model": params.sft.model,
        "index.encoder": params.index.encoder,
        "index.late_encoder": params.index.late_encoder,
        "curate.weak": params.curate.weak,
        "curate.teacher": params.curate.teacher,
        "rewards.judge": address_of(params.rewards.judge) or None,
    }
    for key, name in named.items():
        if name is not None and (problem := _model(name, key, seconds)):
            yield problem


def _model(name: str, key: str, seconds: float) -> str:
    if name.startswith(("http://", "https://")):
        finding = doctor.server("endpoint", urldefrag(name).url, key, seconds)
        return _said(name, key) if finding.ok else finding.line()
    try:
        if key == "curate.weak":
            policies.check(name)  # unlike others, it is fetched from nowhere
        elif s3.is_s3(name):
            s3.sums(name, seconds)
        elif not Path(name).is_dir():
            _ask_hub(name, seconds)
    except (UnidocError, OSError, ValueError) as error:
        return f"{key}: {name} is no folder here, and cannot be had ({' '.join(str(error).split())}); name another one"
    return ""


def _said(name: str, key: str) -> str:
    """What is wrong with a model behind a server that is well: it may serve another one."""
    address, model = urldefrag(name)
    endpoint = Endpoint(address, model or None, seconds=WORD_SECONDS, tries=1)
    try:
        endpoint.complete([Message(Role.USER, ("Hello",))], max_tokens=1, temperature=0.0)
    except UnidocError as error:
        return f"{key}: {error}"
    finally:
        endpoint.close()
    return ""


def _player(params: Params, seconds: float) -> Iterator[str]:
    """Of what is learned from."""
    if params.grpo.server is None:
        return
    if cluster.IN_A_POD in os.environ and not params.pipeline.nodes:
        yield (
            "grpo.server: takes the weights of every step from the volume that nodes share, and grpo runs on none; set "
            "pipeline.nodes, or no server"
        )
    try:
        with closing(Vllm(params.grpo.server, seconds=seconds, tries=1)) as server:
            server.version()
            server.refuse_to_play_shorter(params.agent.longest())
            server.refuse_other_chances()
    except UnidocError as error:
        yield f"grpo.server: {error}"


def _ask_hub(name: str, seconds: float) -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download(name, "config.json", etag_timeout=seconds)


def _questions(folder: Path, taught: bool) -> Iterator[str]:
    """`taught`: a teacher writes what is missing, where none are given to learn from."""
    writes = taught and not (folder / f"{Split.TRAIN}.json").exists()
    for split in Split:
        if writes and not (folder / f"{split}.json").exists():
            continue
        try:
            if not questions.read(folder / f"{split}.json"):
                yield f"{folder / f'{split}.json'}: holds no question; each of {', '.join(Split)} needs some"
        except UnidocError as error:
            yield str(error)


def _shared_out(params: Params) -> Iterator[str]:
    """What only processes that share a model can do."""
    if params.pipeline.nodes or params.pipeline.gpus > 1:
        return
    for key, kind in {"sft.deepspeed": params.sft.deepspeed, "grpo.deepspeed": params.grpo.deepspeed}.items():
        if kind != "none":
            yield f"{key}: {kind} is for several processes; set pipeline.gpus above 1, or pipeline.nodes; or it to none"


def _volume(shared: Path) -> Iterator[str]:
    """That a task and its nodes write to; a storage class may give it to root alone."""
    try:
        with TemporaryDirectory(dir=shared):
            pass
    except OSError as error:
        yield (
            f"pipeline.nodes: {shared} cannot be written to ({error.strerror}): it is the volume of manifests/, which "
            f"user {os.getuid()} must be allowed to write to; see to its storage class"
        )


def _nodes(seconds: float) -> Iterator[str]:
    try:
        trainjob.ready(seconds=seconds)
    except UnidocError as error:
        yield f"pipeline.nodes: {error}"


def _gpus(settings: PipelineParams, seconds: float) -> Iterator[str]:
    """A pod beyond the quota would wait for ever; one whose GPUs other work has, until that has ended."""
    nodes = max(1, settings.nodes)
    needed = settings.gpus * nodes
    try:
        quota = cluster.gpus(seconds=seconds)
    except UnidocError as error:
        yield f"pipeline.gpus: {error}"
        return
    if quota is None:
        return
    if quota.lent < needed:
        kept = "".join(f", of which {pod} keeps {count}" for pod, count in quota.kept.items())
        yield (
            f"pipeline.gpus: {needed} are needed at once ({settings.gpus} on each of {nodes}), and a quota of the "
            f"namespace allows {quota.allowed}{kept}; set fewer, or ask its administrator for more"
        )
    elif quota.allowed - quota.used < needed:
        print(
            f"pipeline.gpus: {quota.used} of the {quota.allowed} that a quota of the namespace allows are used now; "
            f"what needs {needed} waits until other work has ended",
            file=sys.stderr,
        )
