"""Optimisers beyond MXNet's."""
from ademxapp.backend import mx


@mx.optimizer.register
class TorchNesterov(mx.optimizer.Optimizer):
    """Stochastic gradient descent with Nesterov's momentum as Torch has it: the learning rate outside the momentum.

    With gradient g (rescaled, clipped where asked), weight w, momentum m: g += wd w; m = mu m + g; w -= lr (g + mu m).
    It derives from MXNet's Optimizer, not from its SGD, whose own update MXNet 1.9.1 would run instead of this one.
    """

    def __init__(self, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def create_state(self, index, weight):
        """The momentum of one parameter, zeros in its shape; None without momentum."""
        if self.momentum == 0:
            return None
        return mx.nd.zeros(weight.shape, weight.context, dtype=weight.dtype)

    def update(self, index, weight, grad, state):
        """Update `weight` and its `state` in place."""
        self._update_count(index)
        lr, wd = self._get_lr(index), self._get_wd(index)
        step = grad * self.rescale_grad
        if self.clip_gradient is not None:
            step = mx.nd.clip(step, -self.clip_gradient, self.clip_gradient)
        if wd:
            step += wd * weight
        if state is not None:
            state *= self.momentum
            state += step
            step += self.momentum * state
        weight -= lr * step
