"""What the machine has, as far as this process may use it."""
import os
from typing import Collection, Optional


def processors():
    """Number of processors (int)."""
    return len(os.sched_getaffinity(0))


def free_bytes():
    """Main memory that can be had without swapping, or None where the system does not tell."""
    try:
        with open("/proc/meminfo") as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def processor_flags():
    """What the processors' instructions are called, a frozenset of str; empty where the system does not tell."""
    return frozenset(_processor_field("flags").split())


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


def processor_name():
    """What the processors call themselves (str); empty where the system does not tell."""
    return _processor_field("model name")


def _processor_field(name):
    """A field of the first processor in /proc/cpuinfo, "" where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((value.strip() for key, _, value in (line.partition(":") for line in lines)
                         if key.strip() == name), "")
    except OSError:
        return ""
