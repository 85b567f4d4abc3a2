"""Training with several processes, on one machine or on many, over torch.distributed: NCCL on cards, gloo on CPUs."""
import contextlib
import os
import signal
from datetime import timedelta
from typing import Any, Iterator, List, Optional

import numpy as np
import torch
from torch import Tensor, distributed

from ademxapp.errors import UsageError
from ademxapp.stopping import heeded
from ademxapp.training.distributed import Alone

WAIT = timedelta(days=7)  # for another worker, before PyTorch gives up; --stall-minutes ends it earlier


class Workers(Alone):
    """All workers of a training, as one of them sees them; `add_up` is for the Module.

    Making it waits until every worker is there. Its methods are called by all in the same order, and wait for each
    other. Who they are stands where PyTorch's own launcher puts it too: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE.
    """

    def __init__(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
        before = {number: signal.signal(number, signal.SIG_DFL) for number in heeded()}  # no Python runs while it waits
        try:
            with _together():
                distributed.init_process_group(backend, timeout=WAIT)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()
        self.store = self

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
        """All workers' `values` (count, …), which have one shape and dtype under one `name`."""
        values = np.ascontiguousarray(values)
        mine = torch.tensor(np.frombuffer(values.tobytes(), np.uint8))
        everyones = [torch.empty_like(mine) for _ in range(self.count)]
        with _together():
            distributed.all_gather(everyones, mine)
        return np.stack([np.frombuffer(part.numpy().tobytes(), values.dtype).reshape(values.shape)
                         for part in everyones])

    @staticmethod
    def add_up(tensors: List[Tensor]) -> None:
        """Replace the tensors by their sums over all workers, the same bits in each."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _together():
            distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(total.view(tensor.shape))

    def __exit__(self, error: Optional[type], *_: Any) -> None:
        if error is None:
            self.gather("end", np.zeros(1))
        distributed.destroy_process_group()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Within, the lack of another worker is told in one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"another worker is gone, or cannot be reached ({reason}): see its log") from None


def launched(kvstore: str) -> bool:
    """Whether this process is one of several that tools/launch.py, or PyTorch's launcher, has started.

    UsageError where `kvstore` asks for MXNet's servers.
    """
    if kvstore == "dist_sync":
        raise UsageError("--kvstore dist_sync: the parameter servers are --engine mxnet's; with --engine torch, "
                         "tools/launch.py starts workers that need no --kvstore")
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


workers = Workers
