"""The networks of "Wider or Deeper: Revisiting the ResNet Model for Visual Recognition" on Apache MXNet 1.9.1.

Importing the package readies the process for MXNet (see `ademxapp.backend`) but does not import MXNet itself.
"""
from ademxapp import backend

__version__ = "0.1.0"

backend.prepare()
