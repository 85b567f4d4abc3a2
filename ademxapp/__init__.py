"""The networks of "Wider or Deeper: Revisiting the ResNet Model for Visual Recognition" on Apache MXNet 1.9.1.

Importing the package readies the process for MXNet (`ademxapp.engine.mxnet.backend`) but does not import MXNet itself.
"""
import contextlib

from ademxapp.engine.mxnet import backend

__version__ = "0.1.0"
IGNORE_LABEL = 255  # of pixels that do not count, in class maps and losses

with contextlib.suppress(backend.BackendError):  # raised anew where MXNet is asked for, or by the program that runs
    backend.prepare()
