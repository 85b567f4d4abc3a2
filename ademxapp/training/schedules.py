"""Optimisers, and learning rates as functions of the update's number, which is counted first: the first is 1."""
import math
from typing import Callable, Sequence, Union

SGD, NESTEROV, ADAM = "sgd", "torchnesterov", "stackedadam"  # what engines call their optimisers
OPTIMIZERS = {"sgd": SGD, "nesterov": NESTEROV, "adam": ADAM}  # by what users call them
TYPES = ("fixed", "step", "linear")
ADAM_BETA2, ADAM_EPSILON = 0.999, 1e-8


def adam_correction(updates: int, momentum: float) -> float:
    """What Adam's rate is multiplied by, as its means began at zero `updates` updates ago, this one being counted."""
    return math.sqrt(1 - ADAM_BETA2 ** updates) / (1 - momentum ** updates)


class Linear:
    """From `base_lr` straight down towards 0 one update after the last of `updates`, never under `stop_lr`."""

    def __init__(self, base_lr: float, updates: int, stop_lr: float = 0.0) -> None:
        self.base_lr, self.updates, self.stop_lr = base_lr, updates, stop_lr

    def __call__(self, num_update: int) -> float:
        return max(self.stop_lr, self.base_lr * (1 - num_update / (self.updates + 1)))


class Steps:
    """A tenth of the rate from each of `steps` on, which are numbers of updates done; none: a fixed rate."""

    def __init__(self, base_lr: float, steps: Sequence[int] = ()) -> None:
        self.base_lr, self.steps = base_lr, tuple(steps)

    def __call__(self, num_update: int) -> float:
        return self.base_lr * 0.1 ** sum(num_update > step for step in self.steps)


class WarmUp:
    """A schedule whose first `updates` rise to it: update n of them has n / `updates` of its rate."""

    def __init__(self, schedule: Union[Linear, Steps], updates: int) -> None:
        self.schedule, self.updates, self.base_lr = schedule, updates, schedule.base_lr

    def __call__(self, num_update: int) -> float:
        return self.schedule(num_update) * min(1.0, num_update / self.updates)


def make_schedule(kind: str, base_lr: float, epochs: int, batches: int, stop_lr: float = 0.0,
                  lr_steps: Sequence[int] = (), warmup: float = 0) -> Callable[[int], float]:
    """A schedule over `epochs` of `batches` updates.

    Parameters
    ----------
    kind : {"fixed", "step", "linear"}
    lr_steps : sequence of int
        For "step": epochs after which the rate falls tenfold.
    warmup : float
        Epochs in which the rate rises from 0.
    """
    if kind not in TYPES:
        raise ValueError(f"the learning rate's type is {kind!r}; known are {', '.join(TYPES)}")
    schedule: Union[Linear, Steps] = Steps(base_lr, [epoch * batches for epoch in lr_steps] if kind == "step" else ())
    if kind == "linear":
        schedule = Linear(base_lr, epochs * batches, stop_lr)
    return WarmUp(schedule, math.ceil(warmup * batches)) if warmup else schedule
