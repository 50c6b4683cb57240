"""The processes that train together, and the device of each."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from attncourse.errors import UserError


@dataclass(frozen=True)
class Workers:
    """The processes that train together: this one, or as many as torchrun has started."""

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  never changed

    @property
    def leads(self) -> bool:
        """Whether this is the one that validates, prints and writes."""
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """Each number, summed over the processes."""
        if self.count == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return sums.tolist()

    def share(self, batches: Sequence[Any]) -> Sequence[Any]:
        """This one's batches: as many as every other's, so at most a few are left out."""
        even = len(batches) // self.count * self.count
        return batches[self.rank : even : self.count]


def device_of(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises UserError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f'cannot compute on "{name}": {why}. Try --device cpu.') from None
    return device


@contextmanager
def workers(device: str = "auto") -> Iterator[Workers]:
    """Join the processes that torchrun has started, if it has: one GPU each, where there are
    GPUs."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers(device=device_of(device))
        return
    here = device_of(device)
    if here.type == "cuda":
        here = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Workers(distributed.get_rank(), count, here)
    finally:
        distributed.destroy_process_group()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself: then it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def hardware(workers: Workers) -> str:
    """What the training ran on, in words."""
    if workers.device.type == "cuda":
        name = torch.cuda.get_device_name(workers.device)
        return f"{workers.count} x {name}" if workers.count > 1 else name
    known = getattr(torch.cpu, "get_capabilities", dict)()
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    threads = workers.count * torch.get_num_threads()
    return f"{name}, {threads} of {os.cpu_count()} cores"
