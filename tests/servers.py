"""Real servers on 127.0.0.1 for tests: S3, MLflow, the files of the hub, one that answers what it is told, one that
never answers, and a connection that breaks."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

S3_KEY, S3_SECRET = "unidoc-test", "not a secret: the server lives as long as the tests"
START_SECONDS = 60


# --- S3 -------------------------------------------------------------------------------------------------------------


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """SeaweedFS, with everything it writes in this folder; gives its port."""
    credentials = [{"accessKey": S3_KEY, "secretKey": S3_SECRET}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config = {"identities": [{"name": "tests", "credentials": credentials, "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(config))
    for _ in range(3):  # another process may take a port between our asking and the server's
        port = _free_ports(6)
        process = _start_weed(folder, port)
        try:
            if _is_up(process, f"http://127.0.0.1:{port}/healthz"):
                yield port
                return
        finally:
            process.kill()
            process.wait()
    raise RuntimeError(f"the S3 server did not start:\n{(folder / 'log').read_text()[-2000:]}")


def _free_ports(count: int) -> int:
    """The first of some consecutive ports that are free, each also 10000 higher: there SeaweedFS speaks gRPC."""
    while True:
        first = random.randint(15_000, 22_000)
        if all(_is_free(port) for n in range(first, first + count) for port in (n, n + 10_000)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return True
    return False


def _start_weed(folder: Path, port: int) -> subprocess.Popen[bytes]:
    weed = Path(sys.executable).with_name("weed")
    names = ("s3.port", "master.port", "volume.port", "filer.port", "admin.port", "metricsPort")
    ports = [f"-{name}={port + n}" for n, name in enumerate(names)]
    here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/data", f"-s3.config={folder}/s3.json"]
    off = ["-webdav=false", "-admin.ui=false", "-s3.iam=false", "-s3.port.iceberg=0"]
    with (folder / "log").open("wb") as log:
        env = os.environ | {"GOMEMLIMIT": "300MiB"}
        return subprocess.Popen([weed, "mini", *here, *ports, *off], cwd=folder, env=env, stdout=log, stderr=log)


def _is_up(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=1).status == 200:
                return True
        time.sleep(0.05)
    return False


# --- MLflow ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """For a server that is to come later under a known address."""
    return _free_ports(1)


@contextmanager
def mlflow_server(folder: Path, port: int, artifacts: str | None = None) -> Iterator[None]:
    """With its database in this folder, and its files, where they are not to be kept elsewhere."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    kept = artifacts or f"{folder}/artifacts"
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", kept]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *places], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        if not _is_up(process, f"http://127.0.0.1:{port}/health"):
            raise RuntimeError(f"the MLflow server did not start:\n{(folder / 'log').read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait()


# --- HTTP -----------------------------------------------------------------------------------------------------------


@dataclass
class Answering:
    """A server that gives each path the status it was told, and 404 to every other."""

    url: str
    asked: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def http_server(statuses: Mapping[str, int]) -> Iterator[Answering]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answering.asked.append(self.path)
            answering.keys.append(self.headers["Authorization"])
            self.send_response(statuses.get(self.path, 404))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        answering = Answering(url)
        yield answering


@contextmanager
def hub(files: Mapping[str, bytes]) -> Iterator[str]:
    """Gives files of data sets as the hub does: /datasets/<owner>/<name>/resolve/main/<file>."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self._found()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(found or b"")))
            if found is not None:
                self.send_header("ETag", f'"{hashlib.sha256(found).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(self._found() or b"")

        def _found(self) -> bytes | None:
            return files.get(unquote(self.path))

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


Given = tuple[int, Mapping[str, str], str | bytes]  # status, headers and text of an answer


def give(handler: BaseHTTPRequestHandler, given: Given | None) -> None:
    """Answers so; `None` hangs up without a word."""
    if given is None:
        handler.close_connection = True
        return
    status, headers, text = given
    body = text.encode() if isinstance(text, str) else text
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    """A server's address, while a thread answers there; over TLS where there is a certificate, with its key."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def write_certificate(file: Path) -> None:
    """A certificate of this machine that nobody has signed but itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number()).add_extension(
        here, False
    )
    begun = datetime.now(UTC) - timedelta(hours=1)
    signed = built.not_valid_before(begun).not_valid_after(begun + timedelta(days=1)).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + signed.public_bytes(serialization.Encoding.PEM)
    )


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections, by the kernel's queue, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def garbage_server() -> Iterator[int]:
    """Answers one connection with what is not HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"220 mail.example ESMTP\r\n")
                client.shutdown(socket.SHUT_WR)
                while client.recv(1000):  # what is left unread would break the connection, and the answer be lost
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses, and that nobody else can be given meanwhile: bound, but not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


# --- a connection that breaks ---------------------------------------------------------------------------------------


@dataclass
class BreakingProxy:
    """Passes bytes on to a server, and cuts the first `cuts` connections once the server has sent `after` bytes."""

    to_port: int
    cuts: float = 0  # math.inf: every connection
    after: int = 0
    before: Callable[[bytes], object] = bytes  # is shown what a client has sent, before that is passed on
    broken: int = 0

    @contextmanager
    def running(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._accept, args=(listener,))
            thread.start()
            try:
                yield int(listener.getsockname()[1])
            finally:
                listener.shutdown(socket.SHUT_RDWR)  # ends accept()
                thread.join()

    def _accept(self, listener: socket.socket) -> None:
        handlers = []
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                handlers.append(threading.Thread(target=self._pass_on, args=(client,), daemon=True))
                handlers[-1].start()

    def _pass_on(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.to_port))
        with client, server:
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            sent = 0
            with contextlib.suppress(OSError):
                while data := server.recv(4096):
                    client.sendall(data)
                    sent += len(data)
                    if self.broken < self.cuts and sent >= self.after:
                        self.broken += 1
                        break
            for side in (client, server):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.before(data)
                server.sendall(data)
