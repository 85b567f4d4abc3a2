"""MXNet 1.9.1, the reference, as an `ademxapp.engine.Engine`. MXNet is imported when one of its names is asked for."""
import importlib
from typing import Any

NAME = "mxnet"

_FILES = {**dict.fromkeys(("Module", "launched", "workers"), "module"),
          **dict.fromkeys(("ERRORS", "Int8Network", "Predictor", "RangeRecorder", "devices", "free_bytes",
                           "input_gradient", "planned_bytes", "require_dtype", "seed", "versions"), "runtime")}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
