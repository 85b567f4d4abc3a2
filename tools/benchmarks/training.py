"""Images per second of training: steps beside PyTorch's and with OHEM, and a whole training beside a bare loop."""
import logging
import statistics
import tempfile
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from ademxapp import IGNORE_LABEL, engine
from ademxapp.cli import UsageError, number
from ademxapp.data.loader import Batch
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.module import as_mxnet  # where MXNet is told of the optimisers
from ademxapp.flags import flag
from ademxapp.settings import DriverSettings
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol, whole_cells
from ademxapp.training.fit import Plan, fit
from ademxapp.training.progress import TrainingMetric
from ademxapp.training.shared import NESTEROV
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

from .beside_torch import CLASSES, HEAD, NETWORK, STRIDE, import_torch, torch_network
from .comparison import Comparison, in_turns

TASKS = ("classification", "segmentation")
TORCH_ASKED, OHEM_ASKED, WHOLE_ASKED = 0.9, 0.91, 0.97  # OHEM: at most 1.1 times as long
MOMENTUM, WEIGHT_DECAY, LR = 0.9, 5e-4, 1e-7  # a rate that no starting point diverges with
IGNORED = 0.1  # share of the cells
TRAINED_CLASSES, TURN = 10, 4  # of a whole training; batches


class Task(NamedTuple):
    """A training as the drivers do it: of a classifier or, where labels are of cells, the tuning of a segmenter."""

    symbols: Dict[str, mx.sym.Symbol]  # by loss
    start: Parameters
    images: np.ndarray  # (N, 3, H, W) float32
    labels: np.ndarray  # (N,) or (N, cells) float32


def step(task: Optional[str] = flag("what is trained (both)", choices=TASKS),
         width: float = flag("of Model A1", 0.25, type=number(float, 0.001)),
         crop: int = flag("side of the images", 240, type=number(int, 8), metavar="PIXELS"),
         batch: int = flag("images in a batch", 4, type=number(int, 1)),
         seconds: float = flag("to measure each task", 60, type=number(float, 0))) -> List[Comparison]:
    """Measure the tasks by the clock on the wall, for a step uses all processors."""
    torch = import_torch()
    threads, found = torch.get_num_threads(), []
    for name in [task] if task else TASKS:
        made = make_task(name, width, crop, batch)
        ways = [mxnet_step(made, loss) for loss in made.symbols] + [TorchStep(made, width)]
        rates = dict(zip([*made.symbols, "torch"], in_turns(ways, batch, seconds, time.monotonic)))
        what = f"training step, {name}, A1 of width {width:g}, {batch}x{crop}x{crop}"
        found.append(Comparison(f"{what}, softmax", "PyTorch, channels_last", rates["softmax"], rates["torch"],
                                TORCH_ASKED, f"PyTorch {torch.__version__} with {threads} threads, not compiled"))
        if "ohem" in rates:
            found.append(Comparison(f"{what}, online bootstrapping", "softmax", rates["ohem"], rates["softmax"],
                                    OHEM_ASKED, "asked: at most 1.1 times as long"))
    return found


def make_task(name: str, width: float, crop: int, batch: int) -> Task:
    """The `Task` of that name, with Model A1."""
    label, shape, rng = f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}", (batch, 3, crop, crop), np.random.default_rng(0)
    if name == "classification":
        symbols = {"softmax": classification_symbol(label)}
        labels = rng.integers(0, CLASSES, batch).astype(np.float32)
    else:
        options = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
        symbols = {loss: segmentation_symbol(f"{label}_s{STRIDE}", options, HEAD, loss) for loss in ("softmax", "ohem")}
        cells = (whole_cells(crop, STRIDE) // STRIDE) ** 2
        labels = rng.integers(0, CLASSES, (batch, cells)).astype(np.float32)
        labels[rng.random(labels.shape) < IGNORED] = IGNORE_LABEL
    return Task(symbols, start_afresh(parameter_shapes(symbols["softmax"], data=shape), 0),
                rng.normal(size=shape).astype(np.float32), labels)


class MxnetStep:
    """A way for `in_turns`: a step of MXNet's Module."""

    def __init__(self, symbol: mx.sym.Symbol, images: np.ndarray, labels: np.ndarray, start: Parameters, optimizer: str,
                 settings: Dict[str, float]) -> None:
        self.module = mx.mod.Module(symbol, context=[mx.cpu()])
        self._batch = mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(labels)])
        self.module.bind([("data", images.shape)], [("softmax_label", labels.shape)])
        self.module.init_params(arg_params=as_mxnet(start.args), aux_params=as_mxnet(start.auxs))
        self.module.init_optimizer("device", optimizer, settings)

    def __call__(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.module.forward_backward(self._batch)
            self.module.update()
        mx.nd.waitall()


def mxnet_step(task: Task, loss: str = "softmax") -> MxnetStep:
    """A step of a task."""
    optimizer, scale = ("sgd", 1) if task.labels.ndim > 1 else (NESTEROV, 1 / len(task.labels))
    return MxnetStep(task.symbols[loss], task.images, task.labels, task.start, optimizer, {
        "learning_rate": LR, "momentum": MOMENTUM, "wd": WEIGHT_DECAY, "rescale_grad": scale})


class TorchStep:
    """A way for `in_turns`: the same step in PyTorch, as its users write it for CPUs."""

    def __init__(self, task: Task, width: float) -> None:
        self._torch = torch = import_torch()
        segments = task.labels.ndim > 1
        self.net = torch_network(task.start, width, CLASSES, segments)
        self.net.train().to(memory_format=torch.channels_last)
        for module in self.net.modules():
            if segments and isinstance(module, torch.nn.BatchNorm2d):
                module.eval()  # it normalises with its moving statistics
        self._images = torch.from_numpy(task.images).to(memory_format=torch.channels_last)
        self._labels = torch.from_numpy(task.labels).long()
        others, biases = [], []
        for name, value in self.net.named_parameters():
            (biases if value.ndim == 1 and name.endswith("bias") else others).append(value)
        self._optimizer = torch.optim.SGD(
            [{"params": others}, {"params": biases, "lr": LR * (2 if segments else 1), "weight_decay": 0}],
            LR, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=not segments)

    def __call__(self) -> None:
        self._optimizer.zero_grad()
        scores = self.net(self._images)
        loss = self._torch.nn.functional.cross_entropy(scores.flatten(2) if scores.ndim > 2 else scores, self._labels,
                                                       ignore_index=IGNORE_LABEL)
        loss.backward()
        self._optimizer.step()


def training(network: str = flag("network to train", "rna-a1-w0.125"),
             crop: int = flag("side of the images", 96, type=number(int, 1), metavar="PIXELS"),
             batch: int = flag("images in a batch", 64, type=number(int, 1)),
             batches: int = flag("in an epoch", 48, type=number(int, TURN)),
             epochs: int = flag("to train; the first does not count", 3, type=number(int, 2))) -> List[Comparison]:
    """Train as the drivers do, with the default times between snapshots and between curves."""
    if batches % TURN:
        raise UsageError(f"--batches {batches}: wanted a multiple of {TURN}, the batches of a turn")
    symbol = classification_symbol(f"bench_{network}_cls{TRAINED_CLASSES}")
    optimizer = {"learning_rate": 1e-4, "momentum": 0.9, "wd": 1e-4, "rescale_grad": 1 / batch}
    shape, rng = (batch, 3, crop, crop), np.random.default_rng(0)
    start = start_afresh(parameter_shapes(symbol, data=shape), 0)
    data = Batch(rng.normal(size=shape).astype(np.float32), rng.integers(0, TRAINED_CLASSES, batch).astype(np.float32))
    turns = Turns(data, batches, MxnetStep(symbol, data.data, data.label, start, NESTEROV, optimizer))
    quiet = logging.getLogger("bench")
    quiet.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(DriverSettings(model="bench", output=folder, from_epoch=0, stop_epoch=epochs), NESTEROV, optimizer)
        fit(plan, engine.load("mxnet"), symbol, turns, start, TrainingMetric(TRAINED_CLASSES), [mx.cpu()], quiet)
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
                       *(tuple(images * part[0] / part[i] for part in parts) for i in (1, 2)), WHOLE_ASKED,
                       f"in turns of {TURN} batches"),
            Comparison(f"{what}: whole epochs", against,
                       tuple(images * batches / (whole + end) for (batches, whole, _), end in zip(sums, ends)),
                       tuple(images * batches / bare for batches, _, bare in sums), WHOLE_ASKED, remark)]


class Turns:
    """Stands in for a Loader: one batch, over and over, in turns with a bare loop.

    `epochs` has a dictionary for each: its `parts` (batches, their seconds here and in the bare loop), and the seconds
    of its `end`.
    """

    late = 0

    def __init__(self, batch: Batch, batches: int, bare: MxnetStep) -> None:
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
            self._bare(batches=TURN)
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
