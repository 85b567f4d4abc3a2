"""What a run runs on, and what it says of itself: devices, workers, log, versions, time."""
import logging
import os
import time
from typing import Dict, List, Optional

from ademxapp.engine import Device, load
from ademxapp.logs import library_versions, start_log
from ademxapp.settings import Devices, DriverSettings, TrainingDevices
from ademxapp.training.distributed import Alone, Watchdog


def devices(asked: Devices, log: logging.Logger) -> List[Device]:
    """The devices that are asked for, logged."""
    found = load(asked.engine).devices(asked.gpus, asked.cpus)
    log.info("devices: %s", ", ".join(map(str, found)))
    return found


def join(asked: TrainingDevices) -> Alone:
    """The workers that this process trains with, once all are there: those of tools/launch.py; else it is alone."""
    engine = load(asked.engine)
    if not engine.launched(asked.kvstore):
        return Alone()
    with Watchdog(stall_minutes(asked), "the other workers, the servers and the scheduler"):
        return engine.workers()


def stall_minutes(asked: TrainingDevices) -> float:
    """Minutes without the end of a batch after which a training ends itself; 0: it does not."""
    usual = 60 if load(asked.engine).launched(asked.kvstore) else 0
    return usual if asked.stall_minutes is None else asked.stall_minutes


def open_log(asked: Optional[str], folder: str, name: str, debug: bool = False, rank: int = 0) -> logging.Logger:
    """A log to stderr and to the file that is `asked` for, or `<folder>/<name>.log`; its first lines say what runs.

    Workers behind the first number theirs.
    """
    path = asked or os.path.join(folder, f"{name}.log")
    if rank:
        path = f"-worker{rank}".join(os.path.splitext(path))
    return start_log(path, versions(), debug)


def warn_of_train_split(settings: DriverSettings, log: logging.Logger) -> None:
    """Say so where what is scored is, most likely, what was trained on: --split is train unless given."""
    if settings.phase == "val" and settings.split == "train" and not (settings.list or settings.records):
        log.warning("warning: these are scores of the TRAIN split, which networks are trained on: give --split val for "
                    "the val split")


def versions() -> Dict[str, str]:
    """Versions of what a result depends on: {name: version}."""
    return library_versions(**load().versions())


class Stopwatch:
    """Seconds since it was made: by the clock, and of this process on the processors."""

    def __init__(self) -> None:
        self._start = time.monotonic(), time.process_time(), self._of_children()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start[0]

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._start[1]

    @property
    def children_cpu_seconds(self) -> float:
        """Of the processes started here that have ended since."""
        return self._of_children() - self._start[2]

    @staticmethod
    def _of_children() -> float:
        used = os.times()
        return used.children_user + used.children_system
