"""MXNet's and Torch's gradient descent with momentum, over all parameters at once."""
from typing import Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor


class Optimizer:
    """What both have: rates and decays by name, as MXNet has them, and a momentum of every parameter.

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


OPTIMIZERS = {"sgd": Sgd, "torchnesterov": TorchNesterov}
