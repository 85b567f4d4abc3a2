"""Snapshots: all that a run needs to go on as if it had never stopped.

`<label>_snapshot/<epoch>-<batch>/` holds `parameters.params`, `optimizer.params` and `state.json`. A folder is renamed
to its name when it is whole; others go then.
"""
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass

from ademxapp.backend import mx
from ademxapp.files import write_json
from ademxapp.training.parameters import Parameters, load_parameters, save_arrays, save_parameters

_NAME = re.compile(r"(\d{4,})-(\d{6,})")
_PART = ".part-"


@dataclass(frozen=True)
class Snapshot:
    """Parameters, the optimiser's states, and `state`: epoch and batch to go on from, seed, arguments, versions."""

    parameters: Parameters
    optimizer_states: dict
    state: dict


def save_snapshot(folder, snapshot):
    """Write a snapshot below `folder`, then remove the others: older ones, and those of a run before this one."""
    os.makedirs(folder, exist_ok=True)
    name = f"{snapshot.state['epoch']:04d}-{snapshot.state['batch']:06d}"
    part = tempfile.mkdtemp(prefix=_PART, dir=folder)
    try:
        save_parameters(os.path.join(part, "parameters.params"), snapshot.parameters)
        save_arrays(os.path.join(part, "optimizer.params"), snapshot.optimizer_states)
        write_json(os.path.join(part, "state.json"), snapshot.state)
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
        os.rename(part, os.path.join(folder, name))
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for other in os.listdir(folder):
        if other != name and (_NAME.fullmatch(other) or other.startswith(_PART)):
            shutil.rmtree(os.path.join(folder, other))


def load_snapshot(folder):
    """The newest whole snapshot below `folder`; ValueError if there is none."""
    for name in reversed(_names(folder)):
        path = os.path.join(folder, name)
        try:
            with open(os.path.join(path, "state.json"), encoding="utf-8") as source:
                state = json.load(source)
            parameters = load_parameters(os.path.join(path, "parameters.params"))
            states = mx.nd.load(os.path.join(path, "optimizer.params"))
        except (OSError, ValueError, mx.base.MXNetError):
            continue
        return Snapshot(parameters, states if isinstance(states, dict) else {}, state)
    raise ValueError(f"there is no whole snapshot in {folder}: start without --resume")


def _names(folder):
    """Names of the snapshots below `folder`, oldest first."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted((name for name in names if _NAME.fullmatch(name)),
                  key=lambda name: tuple(map(int, _NAME.fullmatch(name).groups())))
