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
    """What the processors' instructions are called, a frozenset of str; empty where the system does not tell."""
    return frozenset(_processor_field("flags").split())


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
