"""MXNet's plan of the memory that a network needs, without using that memory."""
import re
from typing import Tuple

from ademxapp.engine.mxnet.backend import mx
from ademxapp.weights.parameters import INPUTS

MIB = 2 ** 20
_TOTAL = re.compile(r"^Total (\d+) MB allocated$", re.MULTILINE)


def planned_bytes(symbol: mx.sym.Symbol, data_shape: Tuple[int, ...], training: bool = True) -> int:
    """What MXNet plans for the maps between the layers, and for their gradients when `training`.

    Parameters and their gradients are not part of it. The network is bound to memory that is reserved but never
    written, so that the system does not provide it.

    Parameters
    ----------
    symbol : Symbol
    data_shape : tuple of int
        (N, 3, H, W) of `data`.

    Returns
    -------
    int
        Bytes, a multiple of 1 MiB (MXNet rounds down).

    Raises
    ------
    ValueError
        If the system does not reserve as much.
    """
    arg_shapes, _, aux_shapes = symbol.infer_shape(data=tuple(data_shape))
    arguments = {name: mx.nd.empty(shape) for name, shape in zip(symbol.list_arguments(), arg_shapes)}
    auxiliary = {name: mx.nd.empty(shape) for name, shape in zip(symbol.list_auxiliary_states(), aux_shapes)}
    trained = [name for name in arguments if name not in INPUTS] if training else []
    gradients = {name: mx.nd.empty(arguments[name].shape) for name in trained}
    wanted = {name: "write" if name in gradients else "null" for name in arguments}
    try:
        executor = symbol.bind(mx.cpu(), arguments, gradients, wanted, auxiliary)
    except mx.base.MXNetError as error:
        if "memory" not in str(error):
            raise
        raise ValueError(f"the plan for {data_shape} needs more memory than can be reserved here: "
                         "ask for a smaller batch or crop") from error
    return int(_TOTAL.findall(executor.debug_str())[0]) * MIB
