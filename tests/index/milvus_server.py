"""The real Milvus server, which PyPI's `milvus` carries, on 127.0.0.1 for tests.

It listens on every address of its machine, so it gets a network of its own, where there is nobody else. This file, run
as a program, is the way in: it moves into that network, and brings a socket that still listens outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

START_SECONDS = 120
_MILVUS = ("127.0.0.1", 19530)  # in its own network
_READY = "ready"
_NEWUSER, _NEWNET, _SIOCSIFFLAGS, _IFF_UP = 0x10000000, 0x40000000, 0x8914, 1  # Linux'


@contextmanager
def milvus_server(folder: Path) -> Iterator[Server]:
    """A server with its data in this folder, which is then removed: half a gigabyte."""
    pytest.importorskip("milvus", reason="PyPI has no `milvus` for this machine")
    with socket.socket() as kept:  # bound, but not listened on: nobody else can be given the port while Milvus is away
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        server = Server(folder, kept.getsockname()[1])
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder)


class Server:
    """A server that can go away, and come back with what it had; collections must then be loaded again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._line, theirs = socket.socketpair()  # either side ends when all who hold the other are gone
        file = self._folder / "log"
        with socket.create_server(("127.0.0.1", self._port)) as listener, theirs, file.open("wb") as log:
            fd = listener.fileno()
            command = [sys.executable, __file__, str(self._folder), str(fd)]
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=log, stderr=log, pass_fds=[fd], start_new_session=True
            )
        said = self._line.recv(1000).decode()
        if not said:
            raise RuntimeError(f"the Milvus server did not start:\n{file.read_text()[-4000:]}")
        if said != _READY:
            pytest.skip(said)

    def stop(self) -> None:
        """Kills it. When this returns, the port refuses connections."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            with self._line:
                self._line.recv(1)  # Milvus is gone too
            self._process = None


# --- the program ----------------------------------------------------------------------------------------------------


def _main(folder: str, listener: int) -> None:
    line = socket.socket(fileno=sys.stdin.fileno())
    try:
        _move_into_a_network_of_its_own()
    except OSError as error:
        line.sendall(f"Milvus would listen on all addresses: no network of its own may be made here ({error})".encode())
        return
    milvus = _milvus(folder)
    with milvus:
        _wait_until_healthy(milvus.server_proc)
        asyncio.run(_pass_on_until_the_tests_are_gone(socket.socket(fileno=listener), line))


def _move_into_a_network_of_its_own() -> None:
    """As root; or else as a user, who is root in a user namespace."""
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_NEWNET) and unshare(_NEWUSER | _NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket() as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def _milvus(folder: str) -> Any:
    from milvus import MilvusServer

    server = MilvusServer(wait_for_started=False, debug=True)  # debug: it logs where we do
    server.set_base_dir(folder)
    # Seconds for which a server that is back waits for its former self, and for which a busy machine may hold it up.
    server.config.set("common.session.ttl", 20)
    return server


def _wait_until_healthy(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib3.exceptions.HTTPError):
            socket.create_connection(_MILVUS).close()  # as long as it has no parts yet, all of them are healthy
            if urllib3.request("GET", "http://127.0.0.1:9091/healthz", retries=False, timeout=1).status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("Milvus is not healthy")


async def _pass_on_until_the_tests_are_gone(listener: socket.socket, line: socket.socket) -> None:
    async with await asyncio.start_server(_pass_on, sock=listener):
        line.sendall(_READY.encode())
        line.setblocking(False)
        await asyncio.get_running_loop().sock_recv(line, 1)


async def _pass_on(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError), closing(to_client):
        server, to_server = await asyncio.open_connection(*_MILVUS)
        await asyncio.gather(_pump(client, to_server), _pump(server, to_client))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with closing(sink):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
