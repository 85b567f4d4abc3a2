"""What a run runs on, and what it says of itself: devices, workers, log, versions, time."""
import logging
import os
import platform
import resource
import sys
import time

import cv2
import numpy as np
import PIL
from tqdm import tqdm

import ademxapp
from ademxapp.backend import check_card, mx
from ademxapp.cli import LOG, UsageError
from ademxapp.training.distributed import Alone, Watchdog, Workers


def devices(args, log):
    """The devices (list of mx.Context) that the arguments ask for, logged."""
    gpus = args.gpus
    if gpus is None:
        gpus = (0,) if args.cpus is None and mx.context.num_gpus() else ()
    for index in gpus:
        try:
            check_card(index)
        except (ValueError, ImportError) as error:
            hint = "" if "--cpus" in str(error) else "; --cpus 1 runs on the CPU"
            raise UsageError(f"--gpus {','.join(map(str, gpus))}: {error}{hint}") from None
    contexts = [mx.gpu(index) for index in gpus] or [mx.cpu(index) for index in range(args.cpus or 1)]
    log.info("devices: %s", ", ".join(map(str, contexts)))
    return contexts


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
        return Workers()


def open_log(args, rank=0):
    """A log to stderr and to `--log-file`; its first lines say what runs. Workers behind the first number theirs."""
    path = args.log_file or os.path.join(args.output, f"{args.model}.log")
    if rank:
        path = f"-worker{rank}".join(os.path.splitext(path))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if args.debug else logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    for handler in (_BarHandler(), logging.FileHandler(path, encoding="utf-8")):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)
    log.info("%s", " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]))
    log.info("%s", ", ".join(f"{name} {version}" for name, version in versions().items()))
    return log


class _BarHandler(logging.Handler):
    """Writes to stderr above a progress bar."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)


def versions():
    """Versions of what a result depends on: {name: version}."""
    return {"ademxapp": ademxapp.__version__, "python": platform.python_version(), "mxnet": mx.__version__,
            "numpy": np.__version__, "pillow": PIL.__version__, "opencv": cv2.__version__}


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
