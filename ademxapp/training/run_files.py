"""The files of a run, `<output>/<label>…`: it owns them, and they go together."""
import os
import re
import shutil
from typing import List

from ademxapp.files import remove_parts

_WEIGHTS = re.compile(r"_best\.params|_ep-\d{4,}\.params")
_OTHERS = re.compile(r"(_best|_ep-\d{4,})(\.json|_int8\.json)|_ep-symbol\.json|(_val)?\.jsonl|\.png")
_SNAPSHOTS = "_snapshot"


def weights_of_run(path: str) -> List[str]:
    """Checkpoints and snapshots (paths, sorted) of the run `<output>/<label>`: what another one would replace."""
    folder = path + _SNAPSHOTS
    inside = [name for name in _names(folder) if not name.startswith(".")]
    return [f"{path}{end}" for end in _ends(path) if _WEIGHTS.fullmatch(end)] + ([folder] if inside else [])


def remove_run(path: str) -> None:
    """Remove the files of the run `<output>/<label>`, but for its log."""
    for end in _ends(path):
        if _WEIGHTS.fullmatch(end) or _OTHERS.fullmatch(end):
            os.unlink(path + end)
    for name in _names(path + _SNAPSHOTS):
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
    return sorted(name[len(label):] for name in _names(os.path.dirname(path)) if name.startswith(label))


def _names(folder: str) -> List[str]:
    return sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
