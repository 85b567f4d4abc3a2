"""Optimisers beyond MXNet's."""
from typing import Any, Optional

from ademxapp.engine.mxnet.backend import mx


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
