"""Command line programs, and the installed commands: `ademxapp-<name>` runs a program as its script in a clone does.

This folder is the package `tools` in a clone and `ademxapp.programs` where the project is installed, so its modules
import each other by where they stand.
"""
import os
import sys

from ademxapp.cli import run

_OF_TOOLS = ("launch", "msctest", "pack", "predict", "prepare", "report", "submit", "summary", "weights")
PROGRAMS = {"classify": "iclass.ilsvrc", "segment": "issegm.voc",
            **{name: f"{__name__}.{name}" for name in _OF_TOOLS}}


def main() -> None:
    """Run the program that the command is called after, and end the process."""
    name = os.path.basename(sys.argv[0]).partition("-")[2]
    run(PROGRAMS[name], needs_mxnet=name not in ("predict", "weights"))
