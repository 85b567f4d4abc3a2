"""Learning rates as functions of the update's number. MXNet 1.9.1 counts first: the first update has number 1."""
from ademxapp.backend import mx

TYPES = ("fixed", "step", "linear")


class Linear(mx.lr_scheduler.LRScheduler):
    """From `base_lr` straight down towards 0 one update after the last of `updates`, never under `stop_lr`."""

    def __init__(self, base_lr, updates, stop_lr=0.0):
        super().__init__(base_lr)
        self.updates, self.stop_lr = updates, stop_lr

    def __call__(self, num_update):
        return max(self.stop_lr, self.base_lr * (1 - num_update / (self.updates + 1)))


class Steps(mx.lr_scheduler.LRScheduler):
    """A tenth of the rate from each of `steps` on, which are numbers of updates done; none: a fixed rate."""

    def __init__(self, base_lr, steps=()):
        super().__init__(base_lr)
        self.steps = tuple(steps)

    def __call__(self, num_update):
        return self.base_lr * 0.1 ** sum(num_update > step for step in self.steps)


def make_schedule(kind, base_lr, epochs, batches, stop_lr=0.0, lr_steps=()):
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
