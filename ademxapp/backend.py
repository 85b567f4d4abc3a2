"""What users' programs import `mx` from: `ademxapp.engine.mxnet.backend` under the name that it had before."""
import sys

from ademxapp.engine.mxnet import backend

sys.modules[__name__] = backend
