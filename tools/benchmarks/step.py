"""Images per second of training steps: MXNet's in turns with PyTorch's of the same network, and OHEM's cost."""
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np

from ademxapp import IGNORE_LABEL
from ademxapp.cli import Parser, number
from ademxapp.engine.mxnet.backend import mx
from ademxapp.engine.mxnet.runtime import as_mxnet
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol
from ademxapp.training.schedules import NESTEROV
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh
from ademxapp.weights.torch_layout import to_torch

from .comparison import Comparison, in_turns
from .graph import NETWORK, import_torch, torch_network

TORCH_ASKED, OHEM_ASKED = 0.9, 0.91  # OHEM: at most 1.1 times as long
STRIDE, HEAD = 8, "2conv"
CLASSES = 21
MOMENTUM, WEIGHT_DECAY, LR = 0.9, 5e-4, 1e-7  # a rate that no starting point diverges with
IGNORED = 0.1  # share of the cells


@dataclass(frozen=True)
class Task:
    """A training as the drivers do it: its symbol by loss, and what PyTorch needs for the same."""

    symbols: Dict[str, mx.sym.Symbol]
    shape: Tuple[int, ...]  # of the images, (N, 3, H, W)
    cells: Tuple[int, ...]  # of one image's labels
    optimizer: str  # MXNet's name of it
    rescale_grad: float  # what gradients are multiplied with
    bias_lr: float  # and the learning rate of biases and betas
    fixed_statistics: bool  # BN normalises with its moving statistics

    @property
    def parameters(self) -> Parameters:
        """Where all ways start."""
        return start_afresh(parameter_shapes(self.symbols["softmax"], data=self.shape), 0)

    @property
    def batch(self) -> Tuple[np.ndarray, np.ndarray]:
        """Images and labels (float32)."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, CLASSES, self.shape[:1] + self.cells).astype(np.float32)
        if self.cells:
            labels[rng.random(labels.shape) < IGNORED] = IGNORE_LABEL
        return rng.normal(size=self.shape).astype(np.float32), labels


def add_arguments(command: Parser) -> None:
    """The arguments of `step`."""
    command.add_argument("--task", choices=sorted(TASKS), help="what is trained (both)")
    command.add_argument("--width", type=number(float, 0.001), default=0.25, help="of Model A1")
    command.add_argument("--crop", type=number(int, 8), default=240, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=4, help="images in a batch")
    command.add_argument("--seconds", type=number(float, 0), default=60, help="to measure each task")


def measure(task: Optional[str], width: float, crop: int, batch: int, seconds: float) -> List[Comparison]:
    """Measure the tasks by the clock on the wall, for a step uses all processors."""
    torch = import_torch()
    threads, found = torch.get_num_threads(), []
    for name in [task] if task else sorted(TASKS):
        made = TASKS[name](width, crop, batch)
        ways = [MxnetStep(made, loss) for loss in made.symbols] + [TorchStep(made, width)]
        rates = dict(zip([*made.symbols, "torch"], in_turns(ways, seconds, time.monotonic)))
        what = f"training step, {name}, A1 of width {width:g}, {batch}x{crop}x{crop}"
        found.append(Comparison(f"{what}, softmax", "PyTorch, channels_last", rates["softmax"], rates["torch"],
                                TORCH_ASKED, f"PyTorch {torch.__version__} with {threads} threads, not compiled"))
        if "ohem" in rates:
            found.append(Comparison(f"{what}, online bootstrapping", "softmax", rates["ohem"], rates["softmax"],
                                    OHEM_ASKED, "asked: at most 1.1 times as long"))
    return found


def classification(width: float, crop: int, batch: int) -> Task:
    """The `Task` of training a classifier."""
    symbol = classification_symbol(f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}")
    return Task({"softmax": symbol}, (batch, 3, crop, crop), (), NESTEROV, 1 / batch, 1, False)


def segmentation(width: float, crop: int, batch: int) -> Task:
    """The `Task` of fine-tuning a segmenter."""
    options = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
    symbols = {loss: segmentation_symbol(f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}_s{STRIDE}", options, HEAD, loss)
               for loss in ("softmax", "ohem")}
    cells = (-(-crop // STRIDE)) ** 2
    return Task(symbols, (batch, 3, crop, crop), (cells,), "sgd", 1, 2, True)


TASKS = {"classification": classification, "segmentation": segmentation}


class MxnetStep:
    """A way for `in_turns`: a step of MXNet's Module."""

    def __init__(self, task: Task, loss: str = "softmax") -> None:
        start, (images, labels) = task.parameters, task.batch
        self._module = mx.mod.Module(task.symbols[loss], context=[mx.cpu()])
        self._batch = mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(labels)])
        self._module.bind([("data", images.shape)], [("softmax_label", labels.shape)])
        self._module.init_params(arg_params=as_mxnet(start.args), aux_params=as_mxnet(start.auxs))
        self._module.init_optimizer("device", task.optimizer, {
            "learning_rate": LR, "momentum": MOMENTUM, "wd": WEIGHT_DECAY, "rescale_grad": task.rescale_grad})

    def __call__(self, _: int) -> int:
        self._module.forward_backward(self._batch)
        self._module.update()
        mx.nd.waitall()
        return len(self._batch.data[0])

    @property
    def trained(self) -> Dict[str, np.ndarray]:
        """The trained parameters: {name in the PyTorch layout: ndarray}."""
        args = self._module.get_params()[0]
        return to_torch({f"arg:{name}": value.asnumpy() for name, value in args.items()})


class TorchStep:
    """A way for `in_turns`: the same step in PyTorch, as its users write it for CPUs."""

    def __init__(self, task: Task, width: float) -> None:
        self._torch = torch = import_torch()
        images, labels = task.batch
        self.net = torch_network(task.parameters, CLASSES, STRIDE if task.cells else None,
                                 HEAD if task.cells else None, width)
        self.net.train().to(memory_format=torch.channels_last)
        for module in self.net.modules():
            if task.fixed_statistics and isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        self._images = torch.from_numpy(images).to(memory_format=torch.channels_last)
        self._labels = torch.from_numpy(labels).long()
        biases = [value for name, value in self.net.named_parameters() if value.ndim == 1 and name.endswith("bias")]
        others = [value for value in self.net.parameters() if all(value is not bias for bias in biases)]
        self._optimizer = torch.optim.SGD(
            [{"params": others}, {"params": biases, "lr": task.bias_lr * LR, "weight_decay": 0}], LR, MOMENTUM,
            weight_decay=WEIGHT_DECAY, nesterov=task.optimizer != "sgd")

    def __call__(self, _: int) -> int:
        self._optimizer.zero_grad()
        scores = self.net(self._images)
        loss = self._torch.nn.functional.cross_entropy(scores.flatten(2) if scores.ndim > 2 else scores, self._labels,
                                                       ignore_index=IGNORE_LABEL)
        loss.backward()
        self._optimizer.step()
        return len(self._images)

    @property
    def trained(self) -> Dict[str, np.ndarray]:
        """The trained parameters: {name: ndarray}."""
        return {name: value.detach().numpy() for name, value in self.net.named_parameters()}
