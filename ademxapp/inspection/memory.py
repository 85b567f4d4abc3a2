"""Memory that a network needs."""
from importlib import util
from typing import TYPE_CHECKING, Tuple

from ademxapp import engine

if TYPE_CHECKING:
    from ademxapp.engine import Symbol

MIB = 2 ** 20
TRAINING_COPIES = 3  # of the parameters: values, gradients, momentum


def can_plan() -> bool:
    """Whether MXNet, which alone plans the memory of trainings, is installed."""
    return util.find_spec("mxnet") is not None


def planned_bytes(symbol: "Symbol", data_shape: Tuple[int, ...], training: bool = True) -> int:
    """What MXNet plans for the maps between the layers, and for their gradients when `training`: bytes."""
    return engine.load("mxnet").planned_bytes(symbol, data_shape, training)


def training_bytes(planned: int, parameters: int) -> int:
    """Planned bytes plus those of the parameters in training: values, gradients and momentum, float32."""
    return planned + TRAINING_COPIES * 4 * parameters
