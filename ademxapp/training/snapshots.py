"""Snapshots: all that a run needs to go on as if it had never stopped; and the files of a run, which it owns.

`<label>_snapshot/<epoch>-<batch>/` holds `parameters.params`, `optimizer.params`, `state.json` and, where devices have
statistics of their own, `devices.params`. A folder is renamed to its name when it is whole; older ones go then.
"""
import contextlib
import json
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from logging import Logger
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np

from ademxapp.files import PART, only_one, part_beside, remove_parts, write_json
from ademxapp.weights.parameters import Parameters, load_parameters, save_parameters
from ademxapp.weights.params_files import read_params, write_params

_NAME = re.compile(r"(\d{4,})-(\d{6,})")
_WEIGHTS = re.compile(r"_best\.params|_ep-\d{4,}\.params")
_OTHERS = re.compile(r"(_best|_ep-\d{4,})(\.json|_int8\.json)|_ep-symbol\.json|(_val)?\.jsonl|\.png")
_SNAPSHOTS = "_snapshot"


@dataclass(frozen=True)
class Snapshot:
    """Where a run is.

    Attributes
    ----------
    parameters : Parameters
    optimizer_states : dict
        {name of the parameter: ndarray}
    state : dict
        Epoch and batch to go on from, seed, what the next report has counted so far, arguments, versions.
    device_statistics : dict
        BN's statistics of every device, {<name>:<device>: ndarray}, where they differ: inside an epoch on several.
    """

    parameters: Parameters
    optimizer_states: Dict[str, np.ndarray]
    state: Dict[str, Any]
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
    place = names.index(name)
    kept = names[max(0, place + 1 - keep):place + 1]
    for other in os.listdir(folder):
        if other not in kept and (_NAME.fullmatch(other) or other.startswith(PART)):
            shutil.rmtree(os.path.join(folder, other), ignore_errors=True)


def load_snapshot(folder: str) -> Optional[Snapshot]:
    """The newest whole snapshot below `folder`, None where there is none.

    ValueError if all that there are have been damaged; OSError if one cannot be read.
    """
    for name in reversed(_names(folder)):
        path = os.path.join(folder, name)
        try:
            with open(os.path.join(path, "state.json"), encoding="utf-8") as source:
                state = json.load(source)
            parameters = load_parameters(os.path.join(path, "parameters.params"))
            states = read_params(os.path.join(path, "optimizer.params"))
            devices = os.path.join(path, "devices.params")
            statistics = read_params(devices) if os.path.exists(devices) else {}
        except (FileNotFoundError, ValueError):
            continue
        return Snapshot(parameters, states, state, statistics)
    if _names(folder):
        raise ValueError(f"there is no whole snapshot in {folder}: bring one back, or start anew with --overwrite")
    return None


@contextlib.contextmanager
def only_run(folder: str) -> Iterator[None]:
    """Hold the folder of a run's snapshots; ValueError if another process holds it."""
    os.makedirs(folder, exist_ok=True)
    taken = (f"another process is training into {folder}: wait for its end, or give this run another --output or "
             "another tag in --model")
    with only_one(os.path.join(folder, ".lock"), taken):
        yield


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
    folder = path + _SNAPSHOTS
    inside = [name for name in _entries(folder) if not name.startswith(".")]
    return [f"{path}{end}" for end in _ends(path) if _WEIGHTS.fullmatch(end)] + ([folder] if inside else [])


def remove_run(path: str) -> None:
    """Remove the files of the run `<output>/<label>`, but for its log."""
    for end in _ends(path):
        if _WEIGHTS.fullmatch(end) or _OTHERS.fullmatch(end):
            os.unlink(path + end)
    for name in _entries(path + _SNAPSHOTS):
        if not name.startswith("."):
            shutil.rmtree(os.path.join(path + _SNAPSHOTS, name))
    remove_unfinished(path)


def remove_unfinished(path: str) -> None:
    """Remove what a killed process has left of the run's files while it wrote them."""
    label = os.path.basename(path)
    remove_parts(path + _SNAPSHOTS)
    remove_parts(os.path.dirname(path), lambda name: name.startswith(label) and any(
        kind.fullmatch(name[len(label):]) for kind in (_WEIGHTS, _OTHERS)))


def _ends(path: str) -> List[str]:
    """What stands behind the label in the names of files beside the run."""
    label = os.path.basename(path)
    return sorted(name[len(label):] for name in _entries(os.path.dirname(path)) if name.startswith(label))


def _entries(folder: str) -> List[str]:
    return sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []


class Background:
    """Does one thing after another in a thread of its own.

    What goes wrong there is raised by the next call of a method, in the thread that calls; at the end of a run that
    itself goes wrong, it is logged.
    """

    def __init__(self, log: Logger) -> None:
        self._log, self._pool = log, ThreadPoolExecutor(1)
        self._last: Optional[Future] = None

    def start(self, function: Callable[..., Any], *args: Any) -> None:
        """Have `function(*args)` called, once what was started before has ended."""
        self.wait()
        self._last = self._pool.submit(function, *args)

    def check(self) -> None:
        """Raise what has gone wrong, without waiting."""
        if self._last is not None and self._last.done():
            self.wait()

    def wait(self) -> None:
        """Wait until what was started has ended."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, _: Any, error: Optional[BaseException], __: Any) -> None:
        self._pool.shutdown()
        try:
            self.wait()
        except Exception as other:
            if error is None:
                raise
            self._log.error("error: %s", other)
