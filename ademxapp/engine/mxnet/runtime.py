"""MXNet's devices, random numbers, errors, gradients at the input, its plan of memory, and optimisers for it."""
import atexit
import contextlib
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp import machine
from ademxapp.engine.mxnet.backend import check_card, mx
from ademxapp.errors import UsageError
from ademxapp.machine import can_compute
from ademxapp.training.schedules import ADAM_BETA2, ADAM_EPSILON, adam_correction
from ademxapp.weights.parameters import INPUTS, Parameters

ERRORS = (mx.base.MXNetError,)
MIB = 2 ** 20
_TOTAL = re.compile(r"^Total (\d+) MB allocated$", re.MULTILINE)


def _end() -> None:
    """Shut MXNet down. Failures of what nobody waits for any more, as after an error that was told, are passed over."""
    with contextlib.suppress(*ERRORS):
        mx.base._notify_shutdown()


atexit.unregister(mx.base._notify_shutdown)
atexit.register(_end)


def versions() -> Dict[str, str]:
    """MXNet's."""
    return {"mxnet": mx.__version__}


def require_dtype(dtype: str, training: bool, cards: bool) -> None:
    """UsageError unless MXNet can train or test in this type, which is not float32."""
    if training:
        raise UsageError(f"--dtype {dtype} is for testing, --phase val or test: training computes in float32")
    if cards:
        raise UsageError(f"--dtype {dtype} is for CPUs: give --cpus 1 and no --gpus")
    if not can_compute(dtype):
        raise UsageError(f"--dtype {dtype} needs processors with AVX-512 (avx512bw): these compute in float32 and int8")


def require_uncompiled(compiled: bool) -> None:
    """UsageError where PyTorch's compiler is asked for."""
    if compiled:
        raise UsageError("--compile is for --engine torch: MXNet runs its graphs as it binds them")


def seed(number: int) -> None:
    """Make what MXNet draws from now on (dropout) a function of `number`."""
    mx.random.seed(number)


def devices(gpus: Optional[Sequence[int]] = None, cpus: Optional[int] = None) -> List[mx.Context]:
    """The devices that are asked for; with neither, the first card where there is one, else one CPU.

    Raises UsageError that names --cpus for a card that is not there, or that MXNet has no code for.
    """
    if gpus is None:
        gpus = (0,) if cpus is None and mx.context.num_gpus() else ()
    for index in gpus:
        try:
            check_card(index)
        except (ValueError, ImportError) as error:
            hint = "" if "--cpus" in str(error) else "; --cpus 1 runs on the CPU"
            raise UsageError(f"--gpus {','.join(map(str, gpus))}: {error}{hint}") from None
    return [mx.gpu(index) for index in gpus] or [mx.cpu(index) for index in range(cpus or 1)]


def free_bytes(devices: Sequence[mx.Context]) -> Optional[int]:
    """Memory that can be had on the device with the least; None where nobody tells."""
    if devices[0].device_type != "gpu":
        return machine.free_bytes()
    return min(mx.context.gpu_memory_info(device.device_id)[0] for device in devices)


def input_gradient(symbol: mx.sym.Symbol, parameters: Parameters, shapes: Dict[str, Tuple[int, ...]],
                   device: Optional[mx.Context] = None) -> Callable[..., np.ndarray]:
    """A function of the inputs, arrays by name, that gives the gradient of the summed loss at `data`."""
    wanted = {name: "write" if name == "data" else "null" for name in symbol.list_arguments()}
    executor = symbol.simple_bind(device or mx.cpu(), grad_req=wanted, **shapes)
    executor.copy_params_from(as_mxnet(parameters.args), as_mxnet(parameters.auxs))

    def gradient(**inputs: np.ndarray) -> np.ndarray:
        executor.forward(is_train=True, **inputs)
        executor.backward()
        return executor.grad_dict["data"].asnumpy()

    return gradient


def as_mxnet(arrays: Dict[str, np.ndarray]) -> Dict[str, mx.nd.NDArray]:
    """NumPy's arrays as MXNet's, of the same types; MXNet's own as they are."""
    return {name: value if isinstance(value, mx.nd.NDArray) else mx.nd.array(value, dtype=value.dtype)
            for name, value in arrays.items()}


def as_numpy(arrays: Dict[str, mx.nd.NDArray]) -> Dict[str, np.ndarray]:
    """MXNet's arrays as NumPy's."""
    return {name: value.asnumpy() for name, value in arrays.items()}


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


@mx.optimizer.register
class TorchNesterov(mx.optimizer.Optimizer):
    """Stochastic gradient descent with Nesterov's momentum as Torch has it: the learning rate outside the momentum.

    With gradient g (rescaled, clipped where asked), weight w, momentum m: g += wd w; m = mu m + g; w -= lr (g + mu m).
    It derives from MXNet's Optimizer, not from its SGD, whose own update MXNet 1.9.1 would run instead of this one.
    """

    def __init__(self, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index: Any, weight: mx.nd.NDArray) -> Optional[mx.nd.NDArray]:
        """Minus the momentum of one parameter, zeros in its shape; None without momentum."""
        if self.momentum == 0:
            return None
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

    def update(self, index: Any, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: Optional[mx.nd.NDArray]) -> None:
        """Update `weight` and its `state` in place."""
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        gradient = {"rescale_grad": self.rescale_grad, "clip_gradient": self.clip_gradient or -1.0}
        if state is not None:  # holds -m, so that MXNet's fused operators do: of the first, only the state is wanted
            mx.nd.sgd_mom_update(weight, grad, state, out=mx.nd.empty(weight.shape, weight.context, weight.dtype),
                                 lr=1.0, wd=wd, momentum=self.momentum, **gradient)
        mx.nd.sgd_update(weight, grad, out=weight, lr=lr, wd=wd, **gradient)
        if state is not None:
            mx.nd.sgd_update(weight, state, out=weight, lr=-lr * self.momentum, wd=0.0)


@mx.optimizer.register
class StackedAdam(mx.optimizer.Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1), as MXNet has it, but that a parameter's state is one array.

    With gradient g (rescaled), weight w, means m and v of g and g², of which update t since they were zero:
    g += wd w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
    b1 is the momentum.
    """

    def __init__(self, momentum: float = 0.9, states_from: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum, self.states_from = momentum, states_from

    def create_state(self, index: Any, weight: mx.nd.NDArray) -> mx.nd.NDArray:
        """m and v of one parameter: (2, …) zeros."""
        return mx.nd.zeros((2, *weight.shape), weight.context, dtype=weight.dtype)

    def update(self, index: Any, weight: mx.nd.NDArray, grad: mx.nd.NDArray, state: mx.nd.NDArray) -> None:
        """Update `weight` and its `state` in place."""
        self._update_count(index)
        rate = self._get_lr(index) * adam_correction(
            self._index_update_count[index] - self.states_from, self.momentum)
        mx.nd.adam_update(weight, grad, state[0], state[1], out=weight, lr=rate, wd=self._get_wd(index),
                          rescale_grad=self.rescale_grad, beta1=self.momentum, beta2=ADAM_BETA2, epsilon=ADAM_EPSILON)
