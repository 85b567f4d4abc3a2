"""Logs of programs: to stderr, above progress bars, and to a file."""
import logging
import os
import platform
import sys
from io import TextIOWrapper
from typing import Dict

import cv2
import numpy as np
import PIL
from tqdm import tqdm

import ademxapp
from ademxapp.cli import LOG


def start_log(path: str, versions: Dict[str, str], debug: bool = False) -> logging.Logger:
    """A log to stderr and to the file `path`; its first lines are the command and `versions` ({name: version})."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    for handler in (_BarHandler(), _FileHandler(path, encoding="utf-8")):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)
    log.info("%s", " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]))
    log.info("%s", ", ".join(f"{name} {version}" for name, version in versions.items()))
    return log


def library_versions(**runtime: str) -> Dict[str, str]:
    """Versions of what a result depends on, {name: version}; `runtime`: of what runs the network."""
    return {"ademxapp": ademxapp.__version__, "python": platform.python_version(), **runtime,
            "numpy": np.__version__, "pillow": PIL.__version__, "opencv": cv2.__version__}


class _FileHandler(logging.FileHandler):
    """Writes names of files as they are, whatever their bytes."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors="surrogateescape")


class _BarHandler(logging.Handler):
    """Writes to stderr above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
