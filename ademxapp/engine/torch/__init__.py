"""PyTorch, the engine for today's cards, as an `ademxapp.engine.Engine`. It never imports MXNet."""
from ademxapp.engine.torch.module import Module
from ademxapp.engine.torch.predictor import Predictor, input_gradient, planned_bytes
from ademxapp.engine.torch.runtime import ERRORS, devices, free_bytes, launched, require_dtype, seed, versions, workers

NAME = "torch"

__all__ = ["ERRORS", "NAME", "Module", "Predictor", "devices", "free_bytes", "input_gradient", "launched",
           "planned_bytes", "require_dtype", "seed", "versions", "workers"]
