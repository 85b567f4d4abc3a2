"""What a run runs on, and what it says of itself: devices, workers, log, versions, time."""
import os
import resource
import time

from ademxapp import engine
from ademxapp.errors import UsageError
from ademxapp.logs import library_versions, start_log
from ademxapp.training.distributed import Alone, Watchdog


def devices(args, log):
    """The devices that the arguments ask for, logged."""
    found = engine.load().devices(args.gpus, args.cpus)
    log.info("devices: %s", ", ".join(map(str, found)))
    return found


def join(args):
    """The workers that this process trains with: those of --kvstore dist_sync, once all are there; else it is alone."""
    distributed = args.kvstore == "dist_sync"
    if distributed != ("DMLC_ROLE" in os.environ):
        raise UsageError(f"--kvstore {args.kvstore} {'without' if distributed else 'under'} tools/launch.py, which "
                         "starts workers for --kvstore dist_sync: wanted both or neither")
    if args.stall_minutes is None:
        args.stall_minutes = 60 if distributed else 0
    if not distributed:
        return Alone()
    with Watchdog(args.stall_minutes, "the other workers, the servers and the scheduler"):
        return engine.load().workers()


def open_log(args, rank=0):
    """A log to stderr and to `--log-file`; its first lines say what runs. Workers behind the first number theirs."""
    path = args.log_file or os.path.join(args.output, f"{args.model}.log")
    if rank:
        path = f"-worker{rank}".join(os.path.splitext(path))
    return start_log(path, versions(), args.debug)


def versions():
    """Versions of what a result depends on: {name: version}."""
    return library_versions(**engine.load().versions())


class Stopwatch:
    """Seconds since it was made: by the clock, and of this process on the processors."""

    def __init__(self):
        self._start = time.monotonic(), time.process_time(), self._of_children()

    @property
    def seconds(self):
        return time.monotonic() - self._start[0]

    @property
    def cpu_seconds(self):
        return time.process_time() - self._start[1]

    @property
    def children_cpu_seconds(self):
        """Of the processes started here that have ended since."""
        return self._of_children() - self._start[2]

    @staticmethod
    def _of_children():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
