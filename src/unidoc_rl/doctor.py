"""What this machine has, which servers answer, and what each missing thing would prevent: seconds now, not hours later.

Nothing heavy is imported: packages are looked up by their installed versions. The servers that params.yaml names are
asked at the same time, each for a few seconds at most.
"""

from __future__ import annotations

import base64
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from packaging.requirements import Requirement

from unidoc_rl import keys, s3
from unidoc_rl.cores import cores
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params

PACKAGE = "unidoc-rl"
SQLITE = "sqlite:///"  # how an address of MLflow begins that is a file
ARTIFACTS = Path("artifacts")
KFP_TOKEN, KFP_COOKIE = "KFP_TOKEN", "KFP_COOKIE"  # one's key to Kubeflow Pipelines
LOW_DISK = LOW_MEMORY = 5e9
ASK_SECONDS = 3.0
TOOL_SECONDS = 20.0  # nvidia-smi takes its time where the driver is not kept loaded
EXTRAS = {
    "cluster": "compiling and submitting the Kubeflow pipeline; the stages themselves run",
    "dev": "`make test`; the stages themselves run",
}


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    ok: bool
    detail: str  # what was found; where it is not well, also what to do
    prevents: str = ""  # what cannot be done without it
    prevents_all: bool = False  # no stage runs

    def line(self) -> str:
        detail = " ".join(f"{self.detail}; this prevents {self.prevents}".split()) if self.prevents else self.detail
        return f"{'ok' if self.ok else 'missing':<9}{self.subject:<20}{detail}".rstrip()


class _Unwell(Exception):
    """Why a server cannot be used, and what to do, in words."""


def examine(params: Params, seconds: float = ASK_SECONDS) -> list[Finding]:
    requirements = _requirements()
    return [
        _python(sys.version_info[:2]),
        *packages(requirements),
        disk(shutil.disk_usage(_existing(ARTIFACTS.absolute())).free),
        memory(_memory_bytes()),
        _cpus(),
        _gpu(),
        _git(),
        *servers(params, seconds),
    ]


# --- this machine ---------------------------------------------------------------------------------------------------


def _python(version: tuple[int, ...]) -> Finding:
    if (3, 11) <= version <= (3, 12):
        return Finding("Python", True, platform.python_version())
    return Finding("Python", False, f"{platform.python_version()}; use 3.11 or 3.12", "every stage", prevents_all=True)


def _requirements() -> list[Requirement] | None:
    try:
        return [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or []]
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(requirements: Iterable[Requirement] | None) -> Iterator[Finding]:
    """One finding for what every stage needs, one for each extra."""
    if requirements is None:
        yield Finding(
            "packages", False, f"{PACKAGE} is not installed; run `make setup`", "every stage", prevents_all=True
        )
        return
    groups: dict[str, list[Requirement]] = {"": [], **{extra: [] for extra in EXTRAS}}
    for requirement in requirements:
        extra = next((name for name in EXTRAS if _wanted(requirement, name) and not _wanted(requirement, "")), "")
        if extra or _wanted(requirement, ""):
            groups[extra].append(requirement)
    for extra, members in groups.items():
        subject = f"packages ({extra})" if extra else "packages"
        wrong = [problem for member in members if (problem := _package_problem(member))]
        if not wrong:
            yield Finding(subject, True, f"all {len(members)} there")
        else:
            detail = f"{', '.join(wrong)}; run `make setup`"
            yield Finding(subject, False, detail, EXTRAS.get(extra, "every stage"), prevents_all=not extra)


def _wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _package_problem(requirement: Requirement) -> str:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, not {requirement.specifier}"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def disk(free: float) -> Finding:
    if free >= LOW_DISK:
        return Finding("disk", True, f"{free / 1e9:.1f} GB free where {ARTIFACTS}/ lies")
    detail = f"only {free / 1e9:.1f} GB free where {ARTIFACTS}/ lies; free some, or work on a larger disk"
    return Finding("disk", False, detail, "large corpora and training; the demonstration world runs")


def memory(total: float) -> Finding:
    if total >= LOW_MEMORY:
        return Finding("memory", True, f"{total / 1e9:.1f} GB")
    detail = f"only {total / 1e9:.1f} GB; use fewer processes (--workers 1), or a larger machine"
    return Finding("memory", False, detail, "large pages and several processes; the demonstration world runs")


def _memory_bytes() -> float:
    """The machine's, or less where this container is allowed less."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = _cgroup("memory.max").strip()
    return min(total, float(limit)) if limit.isdigit() else total


def _cpus() -> Finding:
    usable = cores()
    quota = cpu_quota(_cgroup("cpu.max"))
    if quota is None or quota >= usable:
        return Finding("CPUs", True, f"{usable}")
    return Finding("CPUs", True, f"{usable}, of whose time this container may use that of {quota:.1f}")


def cpu_quota(cpu_max: str) -> float | None:
    """How many CPUs' time a cgroup's cpu.max allows; None where it sets no limit, or there is none."""
    quota, _, period = cpu_max.strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _cgroup(name: str) -> str:
    """A file of this process's cgroup (version 2), or nothing."""
    try:
        entries = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(entry.removeprefix("0::") for entry in entries if entry.startswith("0::"))
        return Path("/sys/fs/cgroup", path.lstrip("/"), name).read_text()
    except (OSError, StopIteration):
        return ""


def _gpu() -> Finding:
    if not shutil.which("nvidia-smi"):
        return Finding("GPU", True, "none: training and models run on the CPU")
    try:
        found = _run("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    except _Unwell as error:
        return Finding(
            "GPU", False, f"nvidia-smi {error}; see to the driver", "use of the GPU: the CPU is used instead"
        )
    return Finding("GPU", True, "; ".join(found.splitlines()))


def _git() -> Finding:
    prevents = "`dvc exp`, and knowing which code made a result; the stages themselves run"
    if not shutil.which("git"):
        return Finding("git", False, "not found; install it with the system's packages", prevents)
    try:
        return Finding("git", True, _run("git", "--version").removeprefix("git version "))
    except _Unwell as error:
        return Finding("git", False, f"git {error}", prevents)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unwell(f"did not run ({error})") from error
    if done.returncode:
        raise _Unwell(f"failed ({(done.stderr or done.stdout).strip()})")
    return done.stdout.strip()


# --- servers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Service:
    ask: Callable[[str, float], str]  # what is found; raises _Unwell
    instead: str  # what is used where none is named
    prevents: str


def servers(params: Params, seconds: float) -> list[Finding]:
    named = {"milvus": params.index.uri, **dict(params.services)}
    keys = {name: "index.uri" if name == "milvus" else f"services.{name}" for name in named}
    with ThreadPoolExecutor(len(named)) as pool:
        return list(pool.map(partial(server, seconds=seconds), named.keys(), named.values(), keys.values()))


def server(name: str, address: str | None, key: str, seconds: float) -> Finding:
    """`name`: what kind it is, of SERVICES. `key` of params.yaml has the address."""
    service = SERVICES[name]
    if not address:
        return Finding(name, True, f"not named: {service.instead}")
    try:
        return Finding(name, True, service.ask(address, seconds))
    except (_Unwell, UnidocError) as error:
        return Finding(name, False, f"{error}; or change {key} in params.yaml", service.prevents)


def _ask_milvus(address: str, seconds: float) -> str:
    if address.endswith(".db") and "://" not in address:
        return f"{address}: Milvus Lite, a folder on this machine"
    parts = _parts(address)
    with _in_words(address, seconds), socket.create_connection((parts.hostname, parts.port or 19530), seconds):
        return f"{address} accepts connections"


def _ask_mlflow(address: str, seconds: float) -> str:
    if address.startswith(SQLITE):
        return f"{address}: a sqlite file on this machine"
    variables = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    token, name, password = (os.environ.get(variable, "") for variable in variables)
    if token != keys.key(variables[0]):
        raise _Unwell(f"{variables[0]} has space around it, which MLflow's own client would send: set it again")
    own = _basic(name, password) if name and password else _bearer(token)  # as MLflow's own client chooses
    named = f"{variables[0]}, or {variables[1]} and {variables[2]}"
    return _ask_http(address, "/health", seconds, _authorized(own), named)


def _ask_endpoint(address: str, seconds: float) -> str:
    own = _bearer(keys.key("OPENAI_API_KEY"))
    return _ask_http(address, "/models", seconds, _authorized(own), "OPENAI_API_KEY")


def _ask_kfp(address: str, seconds: float) -> str:
    token, cookie = keys.key(KFP_TOKEN), keys.key(KFP_COOKIE)
    own = {"Cookie": cookie} if cookie and not token else _authorized(_bearer(token))
    return _ask_http(address, "/apis/v2beta1/healthz", seconds, own, f"{KFP_TOKEN} or {KFP_COOKIE}")


def _ask_s3(address: str, seconds: float) -> str:
    if not s3.is_s3(address):
        raise _Unwell(f"{address} is no address such as s3://bucket/prefix")
    try:
        s3.ask(address, seconds)
    except UnidocError as error:
        raise _Unwell(str(error)) from error
    return f"{address} can be read"


def _bearer(key: str) -> str:
    return f"Bearer {key}" if key else ""


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def _authorized(authorization: str) -> dict[str, str]:
    return {"Authorization": authorization} if authorization else {}


def _ask_http(address: str, path: str, seconds: float, headers: dict[str, str], variables: str) -> str:
    """Asks for a path that answers 200 on a server that is well; `variables` are those that may hold its key."""
    _parts(address)
    url = address.rstrip("/") + path
    request = urllib.request.Request(url)
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # a key is for this server alone
    try:
        with _in_words(address, seconds), urllib.request.urlopen(request, timeout=seconds) as answer:
            if urlsplit(answer.url).path == urlsplit(url).path:
                return f"{url} answers"
            raise _Unwell(f"{url} leads to another page, perhaps to log in: set {variables}, or correct it")
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise _Unwell(f"{url} wants a key (401): set {variables}, or correct it") from error
        if error.code == 403:
            raise _Unwell(f"{url} does not allow this (403): ask its administrator for the right") from error
        raise _Unwell(f"{url} answers {error.code}: look at its log, or at the address") from error


def _parts(address: str) -> SplitResult:
    """Of a well-formed address; keys in it are refused unseen, since params.yaml and this output are shown around."""
    try:
        parts = urlsplit(address)
        if parts.username is None and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
        why = "carries a name or key" if parts.username is not None else f"({address}) is none such as http://host:port"
    except ValueError:
        why = "is none such as http://host:port"
    raise _Unwell(f"its address {why}: correct it")


@contextmanager
def _in_words(address: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, HTTPException, UnicodeError) as error:  # the last: of a name that no host can have
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _Unwell(
                f"{address} did not answer within {seconds:g} seconds: see that it is well and in reach"
            ) from error
        if isinstance(reason, ConnectionRefusedError):
            raise _Unwell(f"{address} refuses connections: start it") from error
        raise _Unwell(f"{address} cannot be asked ({reason}): see that it is well and in reach") from error


SERVICES = {
    "milvus": _Service(_ask_milvus, "files of the index", "indexing and searching on that server"),
    "mlflow": _Service(_ask_mlflow, "a sqlite file on this machine", "tracking; stages run, but runs are not tracked"),
    "s3": _Service(_ask_s3, "folders on this machine", "reading and writing there"),
    "endpoint": _Service(_ask_endpoint, "models on this machine, gold answers and rules", "asking that model"),
    "kfp": _Service(
        _ask_kfp, "DVC, or Kubeflow's local runner", "submitting the pipeline; stages run here all the same"
    ),
}
