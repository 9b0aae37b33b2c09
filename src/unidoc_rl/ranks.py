"""The processes of one training: this one alone, or those that torchrun has started, on one machine or several.

The first writes and tells; the others wait for what it decides, and work in the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from unidoc_rl import storage, tracking, trained
from unidoc_rl.storage import Output

# Whoever lets go of a group last waits for its thread. DDP does so with Python's lock in its hand, for which that
# thread may wait in turn: so it is never the last.
_groups: list[ProcessGroup | None] = []


def first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def count() -> str:
    """How many they are: a step of more learns from more, so that none goes on with what fewer have begun."""
    return os.environ.get("WORLD_SIZE", "1")


@contextmanager
def writing(out: str | Path, stage: str, inputs: Callable[[], str]) -> Iterator[Output]:
    """`storage.writing`, by the first of them. `inputs`: of which what a killed run has left may serve again."""
    with _met():
        if first():
            with storage.writing(out, *trained.markers(stage)) as output:
                output.goes_on_with(inputs())
                _wait()
                yield output
                _wait()  # until nobody reads its checkpoints any more, which are removed with the rest of its work
        else:
            _wait()
            yield storage.written_by_another(out)
            _wait()


@contextmanager
def tracked(name: str, address: str | None, note: Path) -> Iterator[tracking.Run | None]:
    """`tracking.run`, by the first of them."""
    if first():
        with tracking.run(name, address, note) as run:
            yield run
    else:
        yield None


@contextmanager
def _met() -> Iterator[None]:
    """All of them can talk to each other; alone, there is nobody to talk to."""
    if count() == "1":
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, world = next(rendezvous("env://"))
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        # torchrun keeps its store over restarts, and in it where those could be reached that have died. Machines of
        # several count restarts each for itself; they are to be started with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.
        store = PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)
    _groups.append(distributed.group.WORLD)
    yield
    distributed.destroy_process_group()  # not after an error: the others may be waiting for an answer


def _wait() -> None:
    if distributed.is_initialized():
        distributed.all_reduce(torch.zeros(1))
