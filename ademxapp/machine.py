"""What the machine has, as far as this process may use it: a container's limits count (control groups 1 and 2)."""
import contextlib
import os
import threading
from pathlib import Path
from typing import Collection, Iterator, List, Optional

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def processors() -> int:
    """Number of processors: those that the process may run on, fewer where its share of their time is less."""
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for group in _groups("cpu"):  # quota and period of the processors' time, in microseconds
        words = " ".join(_lines(group / "cpu.max")).split() or [
            *_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):  # else "max" or -1
            counts.append(-(-int(words[0]) // int(words[1])))
    return max(1, min(counts))


def free_bytes() -> Optional[int]:
    """Main memory that can be had now without swapping, or None where the system does not tell."""
    try:
        fields = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text().splitlines())
        free = [int(fields["MemAvailable"].split()[0]) * 1024]
    except (OSError, KeyError, ValueError):
        names = [name for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES") if name in os.sysconf_names]  # free; all
        free = [os.sysconf(names[0]) * os.sysconf("SC_PAGE_SIZE")] if names else []
    for group in _groups("memory"):  # what files have in the system's cache does not count as used
        for limit, used, cached in (("memory.max", "memory.current", "inactive_file"),
                                    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")):
            numbers = _lines(group / limit) + _lines(group / used)
            if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                counts = dict(line.split() for line in _lines(group / "memory.stat"))
                free.append(max(0, int(numbers[0]) - int(numbers[1]) + int(counts.get(cached, 0))))
    return min(free, default=None)


class MainMemory:
    """The free main memory, which threads divide among them."""

    def __init__(self) -> None:
        self._taken, self._change = 0, threading.Condition()
        self._free: Optional[int] = None

    @contextlib.contextmanager
    def part(self, wanted: int) -> Iterator[None]:
        """Hold a part, in bytes, once others have left as much; MemoryError where that is more than all of it."""
        with self._change:
            self._change.wait_for(lambda: self._is_left(wanted))
            self._taken += wanted
        try:
            yield
        finally:
            with self._change:
                self._taken -= wanted
                self._change.notify_all()

    def _is_left(self, wanted: int) -> bool:
        if not self._taken:
            self._free = free_bytes()
            if self._free is not None and wanted > self._free:
                raise MemoryError(f"{wanted / 2 ** 30:.1f} GiB of memory, {self._free / 2 ** 30:.1f} are free")
        return self._free is None or self._taken + wanted <= self._free


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and those above it, of version 2 and of version 1's `controller`."""
    for line in _lines(PROC / "self" / "cgroup"):
        _, kinds, name = (line.split(":", 2) + ["", ""])[:3]
        if kinds and controller not in kinds.split(","):
            continue
        # a container may see its own group as the topmost one, whatever its name says
        top = GROUPS / kinds if kinds and (GROUPS / kinds).is_dir() else GROUPS / controller if kinds else GROUPS
        group = top / name.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder == top or top in folder.parents)


def _lines(path: Path) -> List[str]:
    """The lines of a file that may be missing."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def processor_flags() -> "frozenset[str]":
    """What the processors' instructions are called; empty where the system does not tell."""
    return frozenset(processor_field("flags").split())


def slow_because(dtype: str, flags: Optional[Collection[str]] = None) -> Optional[str]:
    """Why a type will not be faster than float32 on this machine: what its processors lack (str), or None."""
    flags = frozenset(processor_flags() if flags is None else flags)
    if not flags:
        return None
    if dtype == "int8" and not flags & {"avx512_vnni", "avx_vnni"}:
        return "these processors have no instructions for INT8 (avx512_vnni)"
    if dtype == "bfloat16" and not flags & {"avx512_bf16", "amx_bf16"}:
        return "these processors have no instructions for bfloat16 (avx512_bf16)"
    if dtype == "bfloat16" and "avx512_fp16" in flags and "amx_bf16" not in flags:  # Intel's from Sapphire Rapids on
        return "these processors multiply bfloat16 fast in their matrix unit (amx_bf16) only, which is not there"
    return None


def can_compute(dtype: str, flags: Optional[Collection[str]] = None) -> bool:
    """Whether oneDNN computes in a type on this machine at all: bfloat16 needs AVX-512, at whatever speed."""
    flags = frozenset(processor_flags() if flags is None else flags)
    return dtype != "bfloat16" or not flags or "avx512bw" in flags


def processor_field(name: str) -> str:
    """A field of the first processor in /proc/cpuinfo, such as its "model name"; empty where there is none."""
    found = (line.partition(":") for line in _lines(PROC / "cpuinfo"))
    return next((value.strip() for key, _, value in found if key.strip() == name), "")


def described() -> str:
    """The machine that measurements are of, in words."""
    instructions = ", ".join(flag for flag in INSTRUCTIONS if flag in processor_flags())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    return f"{processors()} processors ({processor_field('model name')}; {instructions}), {memory:.0f} GiB, Linux"
