"""Learning rates as functions of the update's number, which is counted first: the first update has number 1."""
from typing import Callable, Sequence

TYPES = ("fixed", "step", "linear")


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


def make_schedule(kind: str, base_lr: float, epochs: int, batches: int, stop_lr: float = 0.0,
                  lr_steps: Sequence[int] = ()) -> Callable[[int], float]:
    """A schedule over `epochs` of `batches` updates.

    Parameters
    ----------
    kind : {"fixed", "step", "linear"}
    lr_steps : sequence of int
        For "step": epochs after which the rate falls tenfold.
    """
    if kind == "linear":
        return Linear(base_lr, epochs * batches, stop_lr)
    if kind not in TYPES:
        raise ValueError(f"the learning rate's type is {kind!r}; known are {', '.join(TYPES)}")
    return Steps(base_lr, [epoch * batches for epoch in lr_steps] if kind == "step" else ())
