"""The installed commands: `ademxapp-<name>` runs a program as its script in a clone does."""
import os
import sys

from ademxapp.cli import run

PROGRAMS = {"classify": "iclass.ilsvrc", "segment": "issegm.voc",
            **{name: f"tools.{name}" for name in ("launch", "msctest", "pack", "predict", "prepare", "report", "submit",
                                                  "summary", "weights")}}


def main():
    """Run the program that the command is called after, and end the process."""
    name = os.path.basename(sys.argv[0]).partition("-")[2]
    run(PROGRAMS[name], needs_mxnet=name not in ("predict", "weights"))
