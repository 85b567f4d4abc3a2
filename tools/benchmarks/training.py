"""Images per second of a training with all that surrounds it, beside a bare loop over the batches."""
import logging
import statistics
import tempfile
import time
from typing import Callable, Iterator, List, Sequence

import numpy as np

from ademxapp import engine
from ademxapp.cli import UsageError, number
from ademxapp.data.loader import Batch
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.module import as_mxnet  # where MXNet is told of the optimisers
from ademxapp.flags import flag
from ademxapp.settings import DriverSettings
from ademxapp.symbol import classification_symbol
from ademxapp.training.fit import Plan, fit
from ademxapp.training.progress import TrainingMetric
from ademxapp.training.shared import NESTEROV
from ademxapp.weights.parameters import parameter_shapes, start_afresh

from .comparison import Comparison

ASKED, CLASSES, TURN = 0.97, 10, 4  # batches


def training(network: str = flag("network to train", "rna-a1-w0.125"),
             crop: int = flag("side of the images", 96, type=number(int, 1), metavar="PIXELS"),
             batch: int = flag("images in a batch", 64, type=number(int, 1)),
             batches: int = flag("in an epoch", 48, type=number(int, TURN)),
             epochs: int = flag("to train; the first does not count", 3, type=number(int, 2))) -> List[Comparison]:
    """Images per second of a training with its reports, checks and snapshots, beside a bare loop over the batches."""
    if batches % TURN:
        raise UsageError(f"--batches {batches}: wanted a multiple of {TURN}, the batches of a turn")
    symbol = classification_symbol(f"bench_{network}_cls{CLASSES}")
    optimizer = {"learning_rate": 1e-4, "momentum": 0.9, "wd": 1e-4, "rescale_grad": 1 / batch}
    shape, rng = (batch, 3, crop, crop), np.random.default_rng(0)
    start = start_afresh(parameter_shapes(symbol, data=shape), 0)
    data = Batch(rng.normal(size=shape).astype(np.float32), rng.integers(0, CLASSES, batch).astype(np.float32))
    module, again = mx.mod.Module(symbol, context=[mx.cpu()]), mx.io.DataBatch(
        [mx.nd.array(data.data)], [mx.nd.array(data.label)])
    module.bind([("data", shape)], [("softmax_label", (batch,))])
    module.init_params(arg_params=as_mxnet(start.args), aux_params=as_mxnet(start.auxs))
    module.init_optimizer("device", NESTEROV, optimizer)

    def bare() -> None:
        for _ in range(TURN):
            module.forward_backward(again)
            module.update()
        mx.nd.waitall()

    turns = Turns(data, batches, bare)
    quiet = logging.getLogger("bench")
    quiet.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(DriverSettings(model="bench", output=folder, from_epoch=0, stop_epoch=epochs), NESTEROV, optimizer)
        fit(plan, engine.load("mxnet"), symbol, turns, start, TrainingMetric(CLASSES), [mx.cpu()], quiet)
        turns.end()
    return comparisons(turns.epochs[1:], f"training {network} on {batch}x{crop}x{crop}", batch)


def comparisons(epochs: Sequence[dict], what: str, images: int) -> List[Comparison]:
    """Those of the batches alone, by turns, and of whole epochs; `epochs` are `Turns.epochs` with `images` a batch."""
    parts = [part for epoch in epochs for part in epoch["parts"]]
    sums = [[sum(column) for column in zip(*epoch["parts"])] for epoch in epochs]
    ends, against = [epoch["end"] for epoch in epochs], "forward, backward and update alone"
    remark = (f"an epoch is {sums[0][0]} batches in {statistics.median(whole for _, whole, _ in sums):.3g} s; then a "
              f"checkpoint and a snapshot, {statistics.median(ends):.2g} s before the next begins. In longer epochs "
              "they weigh less")
    return [Comparison(f"{what}: batches, with metric, checks and reports", against,
                       *(tuple(images * part[0] / part[i] for part in parts) for i in (1, 2)), ASKED,
                       f"in turns of {TURN} batches"),
            Comparison(f"{what}: whole epochs", against,
                       tuple(images * batches / (whole + end) for (batches, whole, _), end in zip(sums, ends)),
                       tuple(images * batches / bare for batches, _, bare in sums), ASKED, remark)]


class Turns:
    """Stands in for a Loader: one batch, over and over, in turns with a bare loop.

    `epochs` has a dictionary for each: its `parts` (batches, their seconds here and in the bare loop), and the seconds
    of its `end`.
    """

    late = 0

    def __init__(self, batch: Batch, batches: int, bare: Callable[[], None]) -> None:
        self._batch, self.batches, self.epochs, self._bare, self._ended = batch, batches, [], bare, None
        self.data_shape, self.label_shape, self.batch_size = batch.data.shape, batch.label.shape, len(batch.data)

    def __iter__(self) -> Iterator[Batch]:
        self.end()
        parts = []
        for _ in range(self.batches // TURN):
            start = time.monotonic()
            for _ in range(TURN):
                yield self._batch
            mx.nd.waitall()
            middle = time.monotonic()
            self._bare()
            parts.append((TURN, middle - start, time.monotonic() - middle))
        self.epochs.append({"parts": parts})
        self._ended = time.monotonic()

    def end(self) -> None:
        """What follows the last epoch's batches has ended."""
        if self.epochs:
            self.epochs[-1]["end"] = time.monotonic() - self._ended

    def start(self, epoch: int, batch: int = 0) -> None:
        """Nothing: all batches are the same."""

    reset = close = lambda self: None
