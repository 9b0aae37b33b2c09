"""An endpoint that answers every step of the teacher after a second, whoever else is asking:
python -m tests.benchmarks.slow_endpoint PORT. It prints the moment of every answer when its standard input ends."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any

from tests.agent.chat import completion
from tests.curate.stub import STEPS

SECONDS = 1.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_QUESTION = re.compile(rb"The question: (.+?)\\n")
_PHRASES = {phrase.encode(): step for phrase, step in STEPS.items()}
REPLIES: dict[str, dict[str, Any]] = {
    "find": {"regions": [1]},
    "zoom": {"thought": "The print is small.", "zoom": True},
    "read": {"information": "It says 4.", "thought": "So it is.", "answer": "4"},
}


class Endpoint:
    def __init__(self) -> None:
        self.answered: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            asked = time.monotonic()
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            _, _, text = completion(json.dumps(_reply(body)))
            await asyncio.sleep(asked + SECONDS - time.monotonic())
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            self.answered.append(time.monotonic())
        writer.close()


def _reply(body: bytes) -> dict[str, Any]:
    step = next(step for phrase, step in _PHRASES.items() if body.rfind(phrase) >= 0)
    if step == "choose":
        pages = [{"number": number, "says": "a page"} for number in range(body.count(b'"image_url": {'))]
        return {"pages": pages, "thought": "This one.", "number": 0}
    if step != "search":
        return REPLIES[step]
    question = _QUESTION.search(body)
    assert question
    return {"thought": "I look for it.", "query": json.loads(b'"%s"' % question[1])}


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Empty where nobody asks any more."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        return b""


async def main(port: int) -> None:
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", port, limit=1 << 22, backlog=1024)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    print(json.dumps(endpoint.answered), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
