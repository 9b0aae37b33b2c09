"""What the search service bears, and how soon it stands: python -m tests.benchmarks.service [--only clients|loading].

clients    `unidoc serve-index` as a process, asked by one client and by 64 at once
loading    opening an index of multi-vectors, beside the reference's way: a JSON file a page, all of them read at start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tests.benchmarks import index as pages
from tests.benchmarks.measure import MB, UNIDOC, resident, save, table
from unidoc_rl.corpus import Corpus
from unidoc_rl.index.client import SearchClient
from unidoc_rl.types import Query

CLIENTS = 64
ROUNDS = 3
WORDS = 8  # a query
MANY = 20_000  # pages that the reference's loading is told for


# --- one client, and many --------------------------------------------------------------------------------------------


def report_clients(corpus: Path | None, index: Path | None, each: int, work: Path) -> dict[str, Any]:
    work.mkdir(parents=True)
    corpus = corpus or made_corpus(work)
    retrievers = {"bm25": "[bm25]", "bm25 and dense": "[bm25, dense]"}
    indexes = {str(index): index} if index else {name: made_index(corpus, of, work) for name, of in retrievers.items()}
    texts = work / "texts.json"
    texts.write_text(json.dumps(drawn(corpus, ROUNDS * CLIENTS * each)))
    figures = {name: measured(folder, texts) for name, folder in indexes.items()}
    table(
        f"The service over {len(Corpus(corpus)):,} pages, {CLIENTS} clients at once, on two cores with them",
        [
            ("", "one client", "a request of many", "a query of many", "clients' CPU a query", "times one", "errors"),
            *[
                (
                    name,
                    f"{one['alone_s'] * 1000:.2f} ms",
                    f"{one['request_s'] * 1000:.1f} ms",
                    f"{one['query_s'] * 1000:.2f} ms",
                    f"{one['clients_cpu_s'] * 1000:.2f} ms",
                    f"{one['times_alone']:.2f}",
                    f"{one['errors']:.0f} of {one['queries']:,.0f}",
                )
                for name, one in figures.items()
            ],
            ("wanted", "", "", "", "", "<= 2", "0"),
        ],
    )
    return figures


def made_corpus(work: Path) -> Path:
    """Of the sample world; what only pictures tell is left out."""
    subprocess.run([UNIDOC, "sample", "--documents", work / "documents", "--questions", work / "asked"], check=True)
    words = ("--set", "ingest.layout=false", "--set", "ingest.ocr=false")
    subprocess.run([UNIDOC, "ingest", work / "documents", "--out", work / "corpus", *words], check=True)
    return work / "corpus"


def made_index(corpus: Path, retrievers: str, work: Path) -> Path:
    out = work / f"index-{retrievers.count(',')}"
    subprocess.run([UNIDOC, "index", corpus, "--out", out, "--set", f"index.retrievers={retrievers}"], check=True)
    return out


def drawn(corpus: Path, count: int) -> list[str]:
    """Words that follow each other on a page."""
    rng = np.random.default_rng(0)
    words_of = [[word for word in text.split() if word.isalnum()] for text in Corpus(corpus).column("text")]
    long = [words for words in words_of if len(words) >= WORDS]
    chosen = [long[page] for page in rng.integers(len(long), size=count)]
    starts = [int(rng.integers(len(words) - WORDS + 1)) for words in chosen]
    return [" ".join(words[start : start + WORDS]) for words, start in zip(chosen, starts, strict=True)]


def measured(index: Path, texts: Path) -> dict[str, float]:
    with service(index) as address:
        client = SearchClient(address)
        client([Query(text) for text in json.loads(texts.read_text())[:CLIENTS]], 10)  # what is slow but once
        client.close()
        rounds = in_process("--ask", address.rsplit(":", 1)[1], texts)
    figures = {name: median(one[name] for one in rounds) for name in rounds[0]}
    return figures | {name: sum(one[name] for one in rounds) for name in ("errors", "queries")}


@contextmanager
def service(index: Path) -> Iterator[str]:
    """Its address."""
    command: list[str | Path] = [UNIDOC, "serve-index", index, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def ask(port: int, texts: Path) -> list[dict[str, float]]:
    """Rounds of one client and of many, a query of each after the other.

    The clients have the service's two cores, so they must cost little: a process of its own, one thread, connections
    that stay open, requests that are spelt before, answers that are not parsed. What they cost is told all the same.
    """
    requests = [_request(text) for text in json.loads(texts.read_text())]
    rounds = []
    for number in range(ROUNDS):
        mine = requests[number::ROUNDS]
        alone, _, _ = asyncio.run(_clients(port, mine[:: CLIENTS // 8], 1))
        together, wall, cpu = asyncio.run(_clients(port, mine, CLIENTS))
        query_s = wall / len(mine)
        rounds.append(
            {
                "alone_s": median(alone),
                "request_s": median(together),
                "query_s": query_s,
                "clients_cpu_s": cpu / len(mine),
                "times_alone": query_s / median(alone),
                "errors": len(mine) - len(together) + len(mine[:: CLIENTS // 8]) - len(alone),
                "queries": len(mine) + len(mine[:: CLIENTS // 8]),
            }
        )
    return rounds


def _request(text: str) -> bytes:
    body = json.dumps({"queries": [{"text": text}], "k": 10}).encode()
    return (
        b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


async def _clients(port: int, requests: Sequence[bytes], count: int) -> tuple[list[float], float, float]:
    """Seconds of every request that was answered well, of all together, and of the processor for asking."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    start, cpu = time.monotonic(), time.process_time()
    seconds = await asyncio.gather(*(_client(*both, requests[n::count]) for n, both in enumerate(streams)))
    wall, cpu = time.monotonic() - start, time.process_time() - cpu
    for _, writer in streams:
        writer.close()
    return [one for answered in seconds for one in answered], wall, cpu


async def _client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Sequence[bytes]) -> list[float]:
    seconds = []
    with suppress(OSError, EOFError):  # all that is left unanswered counts as errors
        for request in requests:
            start = time.monotonic()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            answer = await reader.readexactly(int(length))
            if head.startswith(b"HTTP/1.1 200 ") and b'"page"' in answer:
                seconds.append(time.monotonic() - start)
    return seconds


# --- loading ---------------------------------------------------------------------------------------------------------


def report_loading(count: int, vectors: Path, work: Path) -> dict[str, Any]:
    work.mkdir(parents=True)
    write_reference(count, vectors, work / "json")
    theirs, ours = in_process("--load", work / "json"), pages.late(count, vectors, work / "late")
    many = {name: MANY * figure / theirs["pages"] for name, figure in theirs.items()}
    table(
        f"Multi-vectors at start: {pages.VECTORS} of {pages.DIMENSION} a page",
        [
            ("", "pages", "seconds", "memory"),
            ("reference, JSON read and made tensors of bf16", *_loaded(theirs)),
            ("reference, extrapolated", *_loaded(many)),
            (f"unidoc, opening; `index` measures it at {MANY:,}", *_loaded(ours)),
        ],
    )
    return {"reference": theirs, "reference_extrapolated": many, "ours": ours}


def _loaded(one: dict[str, float]) -> tuple[str, str, str]:
    return f"{one['pages']:,.0f}", f"{one['open_s']:,.2f} s", f"{one['open_mb']:,.0f} MB"


def write_reference(count: int, vectors: Path, folder: Path) -> None:
    """The pages that `late` makes of this count, each in the reference's form."""
    folder.mkdir()
    world = pages.World(vectors, seed=count)
    for number in range(count):
        rows = torch.from_numpy(world.page()).bfloat16().tolist()  # as they come from the model
        page = {"id": str(number), "file_name": f"{number}.jpg", "embedding": rows}
        (folder / f"{number}.json").write_text(json.dumps(page))


def load(folder: Path) -> dict[str, float]:
    """All files but one, which is read before: what Python takes to read any is no part of what a page takes."""
    first, *files = sorted(folder.iterdir())
    held = [_tensor(first)]
    before, start = resident(), time.monotonic()
    held += map(_tensor, files)
    opened = time.monotonic() - start
    return {"pages": len(files), "open_s": opened, "open_mb": (resident() - before) / MB}


def _tensor(file: Path) -> torch.Tensor:
    with file.open() as stream:
        return torch.tensor(json.load(stream)["embedding"], dtype=torch.bfloat16)


# --- all of it -------------------------------------------------------------------------------------------------------


def in_process(*arguments: str | Path) -> Any:
    """What this module, called so in a process of its own, prints."""
    command = [sys.executable, "-m", "tests.benchmarks.service", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of real data")
    parser.add_argument("--corpus", type=Path, help="what to search; the sample world where not given")
    parser.add_argument("--index", type=Path, help="an index of that corpus; made where not given")
    parser.add_argument("--only", choices=["clients", "loading"])
    parser.add_argument("--each", type=int, default=20, help=f"queries of each of the {CLIENTS} clients in a round")
    parser.add_argument("--pages", type=int, default=200, help="pages for loading")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask(int(options.ask[0]), Path(options.ask[1]))))
        return
    if options.load:
        print(json.dumps(load(options.load)))
        return
    vectors = options.data / "colqwen-pages/multivectors.npz"
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "clients": lambda work: report_clients(options.corpus, options.index, options.each, work),
        "loading": lambda work: report_loading(options.pages, vectors, work),
    }
    with tempfile.TemporaryDirectory() as work:
        figures = {name: part(Path(work) / name) for name, part in parts.items() if options.only in (None, name)}
    save("service", figures)


if __name__ == "__main__":
    main()
