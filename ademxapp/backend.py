"""`from ademxapp.backend import mx` in users' programs: the module is `ademxapp.engine.mxnet.backend`."""
import sys

from ademxapp.engine.mxnet import backend

sys.modules[__name__] = backend
