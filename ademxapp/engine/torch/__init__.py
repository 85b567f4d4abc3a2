"""PyTorch, the engine for today's cards, as an `ademxapp.engine.Engine`. It never imports MXNet."""
try:
    import torch  # noqa: F401  before what needs it
except ImportError as error:
    raise ImportError(f"PyTorch cannot be imported ({error}): pip install 'ademxapp[torch]' (in a clone of the "
                      "project: pip install -e '.[torch]')") from None

from ademxapp.engine.torch.graph import Predictor, input_gradient, planned_bytes
from ademxapp.engine.torch.module import Module
from ademxapp.engine.torch.runtime import ERRORS, devices, free_bytes, launched, require_dtype, seed, versions
from ademxapp.engine.torch.runtime import Workers as workers

NAME = "torch"

__all__ = ["ERRORS", "NAME", "Module", "Predictor", "devices", "free_bytes", "input_gradient", "launched",
           "planned_bytes", "require_dtype", "seed", "versions", "workers"]
