"""PyTorch's devices, random numbers, numbers in fewer bits, and errors; and trainings with several processes.

These work over torch.distributed, on one machine or on many: NCCL on cards, gloo on CPUs.
"""
import contextlib
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor, distributed

from ademxapp import machine
from ademxapp.errors import UsageError, answered_by
from ademxapp.training.shared import Alone

ERRORS = (torch.OutOfMemoryError,) if hasattr(torch, "OutOfMemoryError") else (torch.cuda.OutOfMemoryError,)
WAIT = timedelta(days=7)  # for another worker, before PyTorch gives up; --stall-minutes ends it earlier
seed = torch.manual_seed
bytearray(2 ** 25 - 2 ** 14)  # freed at once: from then on glibc keeps what maps leave, for the next ones
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Device:
    """A card, or the CPU under a number; several CPUs share the processors and the parameters."""

    device_type: str  # "cpu" or "gpu"
    device_id: int

    def __str__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    @property
    def torch(self) -> torch.device:
        """As PyTorch has it."""
        return torch.device("cpu") if self.device_type == "cpu" else torch.device("cuda", self.device_id)


def versions() -> Dict[str, str]:
    """PyTorch's."""
    return {"torch": torch.__version__}


def devices(gpus: Optional[Sequence[int]] = None, cpus: Optional[int] = None) -> List[Device]:
    """As of `Engine`."""
    count = torch.cuda.device_count()
    if gpus is None:
        gpus = (0,) if cpus is None and count else ()
    for index in gpus:
        if not 0 <= index < count:
            build = "" if torch.backends.cuda.is_built() else f", and PyTorch {torch.__version__} is built without CUDA"
            raise UsageError(f"--gpus {','.join(map(str, gpus))}: GPU {index}: there is no such card ({count} found"
                             f"{build}): use --cpus N")
    return [Device("gpu", index) for index in gpus] or [Device("cpu", index) for index in range(cpus or 1)]


def free_bytes(devices: Sequence[Device]) -> Optional[int]:
    """Memory that can be had on the device with the least; None where nobody tells."""
    if devices[0].device_type == "cpu":
        return machine.free_bytes()
    cards = [device.torch for device in devices]
    return min(torch.cuda.mem_get_info(card)[0] + torch.cuda.memory_reserved(card) - torch.cuda.memory_allocated(card)
               for card in cards)


def require_dtype(dtype: str, training: bool = False, cards: bool = False) -> torch.dtype:
    """PyTorch's type of the name; UsageError for one that this engine has not: it trains and tests in all, anywhere."""
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: the PyTorch engine computes in {' or '.join(DTYPES)}; --engine mxnet has "
                         f"{dtype} on CPUs")
    return DTYPES[dtype]


def computing(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Within, convolutions and products are computed in `dtype`; sums, BN and losses in float32."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def as_tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A copy on the device, float32; of maps and kernels, on cards, with the channels last in the memory.

    On CPUs PyTorch's convolutions may end the process with those (2.13.0: the backward pass of small maps).
    """
    tensor = torch.tensor(array, dtype=torch.float32, device=device)
    last = tensor.dim() == 4 and device.type == "cuda"
    return tensor.contiguous(memory_format=torch.channels_last) if last else tensor


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in NumPy, rows first."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def random_mask(key: Sequence, shape: Sequence[int], rate: float, device: torch.device) -> torch.Tensor:
    """Which numbers a dropout keeps (bool): a function of the key alone, on one kind of device."""
    digest = blake2b(repr(tuple(key)).encode(), digest_size=7).digest()
    generator = torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
    return torch.empty(tuple(shape), dtype=torch.bool, device=device).bernoulli_(1 - rate, generator=generator)


class Workers(Alone):
    """All workers of a training, as one of them sees them; `add_up` is for the Module.

    Making it waits until every worker is there. Its methods are called by all in the same order, and wait for each
    other. Who they are stands where PyTorch's own launcher puts it too: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE.
    """

    def __init__(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
        with _together(), answered_by(signal.SIG_DFL):  # no Python runs while it waits
            distributed.init_process_group(backend, timeout=WAIT)
        self.rank, self.count = distributed.get_rank(), distributed.get_world_size()
        self.store = self

    def gather(self, name: str, values: np.ndarray) -> np.ndarray:
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
    """As of `Engine`; PyTorch's launcher counts as tools/launch.py does, and `kvstore` cannot be MXNet's servers."""
    if kvstore == "dist_sync":
        raise UsageError("--kvstore dist_sync: the parameter servers are --engine mxnet's; with --engine torch, "
                         "tools/launch.py starts workers that need no --kvstore")
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
