"""A worker that does what it is told: python -m tests.ingest.odd_worker SOCKET."""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

from unidoc_rl.ingest.pool import Step


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    connection.send(Step())
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if task == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif task == "step and die":
            connection.send(Step())
            connection.send(Step())
            os.kill(os.getpid(), signal.SIGSEGV)
        elif task == "hang":
            threading.Event().wait()
        elif task == "group":
            connection.send(os.getpgrp())
        elif task == "leave":
            sys.exit(7)
        else:
            connection.send(Step())
            connection.send(task.upper())


if __name__ == "__main__":
    main()
