"""Images per second of a training with all that surrounds it, in turns with a bare loop over the same batches."""
import logging
import shutil
import tempfile
import time

import numpy as np

from ademxapp.backend import mx
from ademxapp.cli import number
from ademxapp.symbol import classification_symbol
from ademxapp.training.fit import Plan, fit
from ademxapp.training.metrics import TrainingMetric
from ademxapp.training.optimizers import TorchNesterov
from ademxapp.training.parameters import parameter_shapes, start_afresh
from tools.benchmarks.comparison import Comparison, in_turns, show

ASKED = 0.97
CLASSES = 10
SNAPSHOTS = 2  # in a turn, which is a minute or less: ten times as many as in a real run


def add_arguments(command):
    """The arguments of `training`."""
    command.add_argument("--network", default="rna-a1-w0.125", help="network to train")
    command.add_argument("--crop", type=number(int, 1), default=96, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=64, help="images in a batch")
    command.add_argument("--batches", type=number(int, 8), default=40, help="in a turn")
    command.add_argument("--seconds", type=number(float, 0), default=150, help="to measure")


def measure(args):
    """Measure both ways by the clock on the wall, for the network uses all processors."""
    symbol = classification_symbol(f"bench_{args.network}_cls{CLASSES}")
    loader = Batches(args)
    start = start_afresh(parameter_shapes(symbol, data=loader.provide_data[0].shape), 0)
    optimizer = {"learning_rate": 1e-4, "momentum": 0.9, "wd": 1e-4, "rescale_grad": 1 / args.batch}
    rates = in_turns([whole_way(symbol, loader, start, optimizer), bare_way(symbol, loader, start, optimizer)],
                     args.seconds, time.monotonic)
    show([Comparison(f"training {args.network} on {args.batch}x{args.crop}x{args.crop}: reports, checks, a checkpoint "
                     f"and {SNAPSHOTS} snapshots in {args.batches} batches", "forward, backward and update alone",
                     *rates, ASKED)], args)


class Batches:
    """Stands in for a Loader: one batch of random numbers, over and over."""

    late = 0

    def __init__(self, args):
        rng, shape = np.random.default_rng(0), (args.batch, 3, args.crop, args.crop)
        self.batch_size, self.batches = args.batch, args.batches
        self.provide_data = [mx.io.DataDesc("data", shape)]
        self.provide_label = [mx.io.DataDesc("softmax_label", shape[:1])]
        self._batch = mx.io.DataBatch([mx.nd.array(rng.normal(size=shape))],
                                      [mx.nd.array(rng.integers(0, CLASSES, args.batch))], pad=0)

    def __iter__(self):
        return iter([self._batch] * self.batches)

    def start(self, epoch, batch=0):
        """Nothing: all batches are the same."""

    reset = close = lambda self: None


def whole_way(symbol, loader, start, optimizer):
    """A turn: an epoch as the drivers train it."""
    quiet = logging.getLogger("bench")
    quiet.setLevel(logging.ERROR)

    def run(_):
        folder = tempfile.mkdtemp()
        try:
            began = time.monotonic()
            seconds = run.seconds / SNAPSHOTS if run.seconds else float("inf")
            plan = Plan("bench", folder, 0, 1, TorchNesterov.__name__.lower(), optimizer, snapshot_seconds=seconds)
            fit(plan, symbol, loader, start, TrainingMetric(CLASSES), [mx.cpu()], quiet)
            run.seconds = time.monotonic() - began
        finally:
            shutil.rmtree(folder)
        return loader.batches * loader.batch_size

    run.seconds = None
    return run


def bare_way(symbol, loader, start, optimizer):
    """A turn: the same batches through MXNet's Module, and nothing else."""
    def run(_):
        module = mx.mod.Module(symbol, context=[mx.cpu()])
        module.bind(loader.provide_data, loader.provide_label)
        module.init_params(arg_params=start.args, aux_params=start.auxs)
        module.init_optimizer("device", TorchNesterov.__name__.lower(), optimizer)
        for batch in loader:
            module.forward_backward(batch)
            module.update()
        mx.nd.waitall()
        return loader.batches * loader.batch_size
    return run
