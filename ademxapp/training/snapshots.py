"""Snapshots: all that a run needs to go on as if it had never stopped; and the files of a run, which it owns.

`<label>_snapshot/<epoch>-<batch>/` holds `parameters.params`, `optimizer.params`, `state.json` and, where devices have
statistics of their own, `devices.params`. A folder is renamed to its name when it is whole; older ones go then.
"""
import glob
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from logging import Logger
from typing import Any, Callable, ContextManager, Dict, List, Optional

import numpy as np

from ademxapp.files import PART, only_one, part_beside, read_json, remove_parts, write_json
from ademxapp.weights.parameters import Parameters, load_parameters, read_params, save_parameters, write_params

_NAME = re.compile(r"(\d{4,})-(\d{6,})")
# What stands behind the label in the names of a run's files: of its weights, and of all that a new run replaces.
_WEIGHTS = re.compile(r"(_best|_ep-\d{4,})\.params")
_FILES = re.compile(r"(_best|_ep-\d{4,})(\.params|\.json|_int8\.json)|_ep-symbol\.json|(_val)?\.jsonl|\.png")
_SNAPSHOTS = "_snapshot"


@dataclass(frozen=True)
class Snapshot:
    """Where a run is."""

    parameters: Parameters
    optimizer_states: Dict[str, np.ndarray]  # by the parameter's name
    state: Dict[str, Any]  # epoch and batch to go on from, seed, what the next report has counted, arguments, versions
    # BN's of every device, by "<name>:<device>", where they differ: inside an epoch on several.
    device_statistics: Dict[str, np.ndarray] = field(default_factory=dict)


def save_snapshot(folder: str, snapshot: Snapshot, keep: int = 1) -> None:
    """Write a snapshot below `folder`, then remove all but the newest `keep`, and those that this one goes behind."""
    os.makedirs(folder, exist_ok=True)
    name = f"{snapshot.state['epoch']:04d}-{snapshot.state['batch']:06d}"
    part = part_beside(os.path.join(folder, name))
    os.mkdir(part)  # not by mkdtemp, so that it has the permissions that the umask leaves
    try:
        save_parameters(os.path.join(part, "parameters.params"), snapshot.parameters)
        write_params(os.path.join(part, "optimizer.params"), snapshot.optimizer_states)
        if snapshot.device_statistics:
            write_params(os.path.join(part, "devices.params"), snapshot.device_statistics)
        write_json(os.path.join(part, "state.json"), snapshot.state)
        _sync(part)
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        os.rename(part, os.path.join(folder, name))
        _sync(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    names = _names(folder)
    kept = names[:names.index(name) + 1][-keep:]
    for other in os.listdir(folder):
        if other not in kept and (_NAME.fullmatch(other) or other.startswith(PART)):
            shutil.rmtree(os.path.join(folder, other), ignore_errors=True)


def load_snapshot(folder: str) -> Optional[Snapshot]:
    """The newest whole snapshot below `folder`, None where there is none; ValueError if all are damaged."""
    names = _names(folder)
    for name in reversed(names):
        path = os.path.join(folder, name)
        try:
            state = read_json(os.path.join(path, "state.json"))
            parameters = load_parameters(os.path.join(path, "parameters.params"))
            states = read_params(os.path.join(path, "optimizer.params"))
            devices = os.path.join(path, "devices.params")
            return Snapshot(parameters, states, state, read_params(devices) if os.path.exists(devices) else {})
        except (FileNotFoundError, ValueError):
            continue
    if names:
        raise ValueError(f"there is no whole snapshot in {folder}: bring one back, or start anew with --overwrite")
    return None


def only_run(folder: str) -> ContextManager[None]:
    """Hold the folder of a run's snapshots; ValueError if another process holds it."""
    os.makedirs(folder, exist_ok=True)
    return only_one(os.path.join(folder, ".lock"), f"another process is training into {folder}: wait for its end, or "
                    "give this run another --output or another tag in --model")


def _sync(folder: str) -> None:
    """Have the system write the folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _names(folder: str) -> List[str]:
    """Names of the snapshots below `folder`, oldest first."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = sorted(filter(None, map(_NAME.fullmatch, names)), key=lambda one: tuple(map(int, one.groups())))
    return [one.group() for one in found]


def weights_of_run(path: str) -> List[str]:
    """Checkpoints and snapshots (paths, sorted) of the run `<output>/<label>`: what another one would replace."""
    return _files(path, _WEIGHTS) + ([path + _SNAPSHOTS] if _snapshots(path) else [])


def remove_run(path: str) -> None:
    """Remove the files of the run `<output>/<label>`, but for its log."""
    for file in _files(path, _FILES):
        os.unlink(file)
    for folder in _snapshots(path):
        shutil.rmtree(folder)
    remove_unfinished(path)


def remove_unfinished(path: str) -> None:
    """Remove what a killed process has left of the run's files while it wrote them."""
    folder, label = os.path.split(path)
    remove_parts(path + _SNAPSHOTS)
    remove_parts(folder, lambda name: name.startswith(label) and bool(_FILES.fullmatch(name[len(label):])))


def _files(path: str, kind: "re.Pattern[str]") -> List[str]:
    ends = (os.path.basename(one)[len(os.path.basename(path)):] for one in glob.glob(f"{glob.escape(path)}*"))
    return [path + end for end in sorted(ends) if kind.fullmatch(end)]


def _snapshots(path: str) -> List[str]:
    return glob.glob(f"{glob.escape(path + _SNAPSHOTS)}/*")  # not the lock, nor what is unfinished


class Background(ThreadPoolExecutor):
    """Does one thing after another in a thread of its own.

    What goes wrong there is raised by the next call of a method, in the thread that calls; at the end of a run that
    itself goes wrong, it is logged.
    """

    def __init__(self, log: Logger) -> None:
        super().__init__(1)
        self._log = log
        self._last: Optional[Future] = None

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function(*args)` called, once what was started before has ended."""
        self.wait()
        self._last = self.submit(function, *args)

    def check(self) -> None:
        """Raise what has gone wrong, without waiting."""
        if self._last is not None and self._last.done():
            self.wait()

    def wait(self) -> None:
        """Wait until what was started has ended."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __exit__(self, _: Any, error: Optional[BaseException], __: Any) -> None:
        self.shutdown()
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            self._log.error("error: %s", other)
