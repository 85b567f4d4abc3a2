"""MXNet's and Torch's gradient descent with momentum, and Adam, over all parameters at once."""
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor

from ademxapp.training.schedules import ADAM_BETA2, ADAM_EPSILON, adam_correction


class Optimizer:
    """What all have: rates and decays by name, as MXNet has them, and a state of every parameter: here, its momentum.

    Only parameters called `…_weight` and `…_gamma` decay, unless a `__wd_mult__` says otherwise.

    Parameters
    ----------
    attributes : dict
        {name of a parameter: attributes in the graph}
    lr_scheduler : callable, optional
        From the update's number, the first being 1, to the rate; else it is `learning_rate`.
    begin_num_update : int
        Updates done before.
    """

    def __init__(self, weights: Dict[str, Tensor], attributes: Dict[str, Dict[str, str]], learning_rate: float = 0.01,
                 lr_scheduler: Optional[Callable[[int], float]] = None, momentum: float = 0.0, wd: float = 0.0,
                 rescale_grad: float = 1.0, begin_num_update: int = 0) -> None:
        self.learning_rate, self.updates = learning_rate, begin_num_update
        self._weights, self._schedule, self._rescale = list(weights.values()), lr_scheduler, rescale_grad
        self.momentum = momentum
        self.states = {name: torch.zeros_like(weight) for name, weight in weights.items()} if momentum else {}
        of = [attributes.get(name, {}) for name in weights]
        self._rates = [float(each.get("__lr_mult__", 1)) for each in of]
        decays = [1.0 if name.endswith(("_weight", "_gamma")) else 0.0 for name in weights]
        self._decays = [wd * float(each.get("__wd_mult__", decay)) for each, decay in zip(of, decays)]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights and the momenta."""
        self.updates += 1
        if self._schedule:
            self.learning_rate = self._schedule(self.updates)
        descents = torch._foreach_mul(list(gradients), self._rescale)
        torch._foreach_add_(descents, torch._foreach_mul(self._weights, self._decays))
        self._apply(list(descents), [self.learning_rate * rate for rate in self._rates])

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        raise NotImplementedError


class Sgd(Optimizer):
    """MXNet's: m = mu m - lr g; w += m."""

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        torch._foreach_mul_(descents, rates)
        if self.momentum:
            states = list(self.states.values())
            torch._foreach_mul_(states, self.momentum)
            torch._foreach_sub_(states, descents)
            torch._foreach_add_(self._weights, states)
        else:
            torch._foreach_sub_(self._weights, descents)


class TorchNesterov(Optimizer):
    """Torch's: m = mu m + g; w -= lr (g + mu m). The states hold -m, as MXNet's engine has them."""

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        if self.momentum:
            states = list(self.states.values())
            torch._foreach_mul_(states, self.momentum)
            torch._foreach_sub_(states, descents)
            torch._foreach_sub_(descents, states, alpha=self.momentum)
        torch._foreach_mul_(descents, rates)
        torch._foreach_sub_(self._weights, descents)


class StackedAdam(Optimizer):
    """MXNet's Adam; a parameter's state is (2, …): the means of its gradient and of that squared.

    They were zero when `states_from` updates had been done.
    """

    def __init__(self, weights: Dict[str, Tensor], *args: Any, states_from: int = 0, **kwargs: Any) -> None:
        super().__init__(weights, *args, **kwargs)
        self._states_from = states_from
        self.states = {name: torch.zeros((2, *weight.shape), device=weight.device) for name, weight in weights.items()}

    def _apply(self, descents: List[Tensor], rates: List[float]) -> None:
        means, squares = ([state[part] for state in self.states.values()] for part in (0, 1))
        for states, beta, values in zip((means, squares), (self.momentum, ADAM_BETA2),
                                        (descents, torch._foreach_mul(descents, descents))):
            torch._foreach_mul_(states, beta)
            torch._foreach_add_(states, values, alpha=1 - beta)
        lengths = torch._foreach_sqrt(squares)
        torch._foreach_add_(lengths, ADAM_EPSILON)
        steps = torch._foreach_div(means, lengths)
        correction = adam_correction(self.updates - self._states_from, self.momentum)
        torch._foreach_mul_(steps, [rate * correction for rate in rates])
        torch._foreach_sub_(self._weights, steps)


OPTIMIZERS = {"sgd": Sgd, "torchnesterov": TorchNesterov, "stackedadam": StackedAdam}
