"""Images per second of a training with all that surrounds it, in turns with a bare loop over the same batches."""
import logging
import statistics
import tempfile
import time
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.cli import Parser, UsageError, number
from ademxapp.data.loader import Batch
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet
from ademxapp.symbol import classification_symbol
from ademxapp.training.fit import Plan, fit
from ademxapp.training.metrics import TrainingMetric
from ademxapp.training.schedules import NESTEROV
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

from .comparison import Comparison

ASKED = 0.97
CLASSES = 10
TURN = 4  # batches
Shape = Tuple[int, ...]  # of images, (N, 3, H, W)
AGAINST = "forward, backward and update alone"


def add_arguments(command: Parser) -> None:
    """The arguments of `training`."""
    command.add_argument("--network", default="rna-a1-w0.125", help="network to train")
    command.add_argument("--crop", type=number(int, 1), default=96, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=64, help="images in a batch")
    command.add_argument("--batches", type=number(int, TURN), default=48, help="in an epoch")
    command.add_argument("--epochs", type=number(int, 2), default=3, help="to train; the first does not count")


def measure(network: str, crop: int, batch: int, batches: int, epochs: int) -> List[Comparison]:
    """Train as the drivers do, with the default times between snapshots and between curves."""
    if batches % TURN:
        raise UsageError(f"--batches {batches}: wanted a multiple of {TURN}, the batches of a turn")
    symbol = classification_symbol(f"bench_{network}_cls{CLASSES}")
    optimizer = {"learning_rate": 1e-4, "momentum": 0.9, "wd": 1e-4, "rescale_grad": 1 / batch}
    shape = (batch, 3, crop, crop)
    start = start_afresh(parameter_shapes(symbol, data=shape), 0)
    turns = Turns(shape, batches, BareLoop(symbol, shape, start, optimizer))
    quiet = logging.getLogger("bench")
    quiet.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan("bench", folder, 0, epochs, NESTEROV, optimizer, snapshot_seconds=600)
        fit(plan, engine.load("mxnet"), symbol, turns, start, TrainingMetric(CLASSES), [mx.cpu()], quiet)
        turns.end()
    return comparisons(turns.epochs[1:], f"training {network} on {batch}x{crop}x{crop}", batch)


def comparisons(epochs: Sequence[dict], what: str, images: int) -> List[Comparison]:
    """Those of the batches alone, by turns, and of whole epochs; `epochs` are `Turns.epochs` with `images` a batch."""
    parts = [part for epoch in epochs for part in epoch["parts"]]
    sums = [[sum(column) for column in zip(*epoch["parts"])] for epoch in epochs]
    ends = [epoch["end"] for epoch in epochs]
    remark = (f"an epoch is {sums[0][0]} batches in {statistics.median(whole for _, whole, _ in sums):.3g} s; then a "
              f"checkpoint and a snapshot, {statistics.median(ends):.2g} s before the next begins. In longer epochs "
              "they weigh less")
    return [Comparison(f"{what}: batches, with metric, checks and reports", AGAINST,
                       *(tuple(images * part[0] / part[i] for part in parts) for i in (1, 2)), ASKED,
                       f"in turns of {TURN} batches"),
            Comparison(f"{what}: whole epochs", AGAINST,
                       tuple(images * batches / (whole + end) for (batches, whole, _), end in zip(sums, ends)),
                       tuple(images * batches / bare for batches, _, bare in sums), ASKED, remark)]


class Turns:
    """Stands in for a Loader: one batch of random numbers, over and over, in turns with a bare loop.

    `epochs` has what was measured, a dictionary for each: its `parts`, tuples of a number of batches and of the
    seconds that these took here and in the bare loop, and the seconds of its `end`.
    """

    late = 0

    def __init__(self, shape: Shape, batches: int, bare: Callable[[int], None]) -> None:
        self.batch_size, self.batches, self.epochs, self._bare, self._ended = shape[0], batches, [], bare, None
        self.data_shape, self.label_shape = shape, shape[:1]
        self._batch = random_batch(shape)

    def __iter__(self) -> Iterator[Batch]:
        self.end()
        parts = []
        for _ in range(self.batches // TURN):
            start = time.monotonic()
            for _ in range(TURN):
                yield self._batch
            mx.nd.waitall()
            middle = time.monotonic()
            self._bare(TURN)
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


class BareLoop:
    """Batches through MXNet's Module, and nothing else."""

    def __init__(self, symbol: mx.sym.Symbol, shape: Shape, start: Parameters, optimizer: Dict[str, float]) -> None:
        self._module, batch = mx.mod.Module(symbol, context=[mx.cpu()]), random_batch(shape)
        self._batch = mx.io.DataBatch([mx.nd.array(batch.data)], [mx.nd.array(batch.label)])
        self._module.bind([("data", shape)], [("softmax_label", shape[:1])])
        self._module.init_params(arg_params=as_mxnet(start.args), aux_params=as_mxnet(start.auxs))
        self._module.init_optimizer("device", NESTEROV, optimizer)

    def __call__(self, batches: int) -> None:
        for _ in range(batches):
            self._module.forward_backward(self._batch)
            self._module.update()
        mx.nd.waitall()


def random_batch(shape: Shape) -> Batch:
    """A batch of random images and labels."""
    rng = np.random.default_rng(0)
    return Batch(rng.normal(size=shape).astype(np.float32), rng.integers(0, CLASSES, shape[0]).astype(np.float32))
