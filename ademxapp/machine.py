"""What the machine has, as far as this process may use it."""
import os


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
    """What the processors' instructions are called in /proc/cpuinfo, a frozenset; empty where the system does not tell.
    """
    try:
        with open("/proc/cpuinfo") as lines:
            flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
        return frozenset(flags.split())
    except OSError:
        return frozenset()
