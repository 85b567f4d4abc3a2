"""What the PyTorch engine's graph costs beside the same network as a plain PyTorch module: fine-tuning, and testing."""
import time
from types import ModuleType
from typing import TYPE_CHECKING, Callable, List, Optional

from ademxapp.cli import Parser, UsageError, number
from ademxapp.symbol import SymbolOptions, segmentation_symbol
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh
from ademxapp.weights.torch_layout import to_torch

from .comparison import Comparison, Way, in_turns

if TYPE_CHECKING:
    from ademxapp.deploy.torch_rna import Rna

NETWORK = "a1"
ASKED = 0.97
CLASSES, STRIDE, HEAD = 21, 8, "2conv"


def import_torch() -> ModuleType:
    """PyTorch; UsageError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed: pip install 'ademxapp[bench]'") from None
    return torch


def torch_network(parameters: Parameters, classes: int, stride: Optional[int], head: Optional[str], width: float
                  ) -> "Rna":
    """Model A1 with the parameters of its MXNet form."""
    from ademxapp.deploy.torch_rna import Rna
    net, torch = Rna(NETWORK, classes, stride, head, width), import_torch()
    state = to_torch({**{f"arg:{name}": value for name, value in parameters.args.items()},
                      **{f"aux:{name}": value for name, value in parameters.auxs.items()}})
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return net


def add_arguments(command: Parser) -> None:
    """The arguments of `graph`."""
    command.add_argument("--width", type=number(float, 0.001), default=0.25, help="of Model A1")
    command.add_argument("--crop", type=number(int, 8), default=160, metavar="PIXELS", help="side of the images")
    command.add_argument("--batch", type=number(int, 1), default=2, help="images in a batch")
    command.add_argument("--seconds", type=number(float, 0), default=60, help="to measure each of both")


def measure(width: float, crop: int, batch: int, seconds: float) -> List[Comparison]:
    """Measure with the processors' time, on the CPU; dropout is off in both."""
    torch = import_torch()
    from ademxapp.engine.torch.graph import Graph
    from ademxapp.engine.torch.operators import Pass
    text = segmentation_symbol(f"bench_rna-{NETWORK}-w{width:g}_cls{CLASSES}_s{STRIDE}",
                               SymbolOptions(bn_use_global_stats=True), HEAD, "softmax")
    start = start_afresh(parameter_shapes(text, data=(batch, 3, crop, crop)), 0)
    net = torch_network(start, CLASSES, STRIDE, HEAD, width).eval()
    values = {name: torch.tensor(value).requires_grad_(name in start.args) for name, value in start.all.items()}
    weights = [value for value in values.values() if value.requires_grad]
    data, cells = torch.randn(batch, 3, crop, crop), crop // STRIDE
    labels, cpu = torch.randint(0, CLASSES, (batch, cells, cells)), torch.device("cpu")
    inputs = {**values, "data": data, "softmax_label": labels.float().flatten(1)}
    training, testing = Graph(text.tojson()), Graph(text.tojson(), training=False)

    def graph_step() -> None:
        prob = training(inputs, Pass(True, cpu))[0][0]
        torch.autograd.grad(prob, weights, torch.ones_like(prob))

    def plain_step() -> None:
        torch.autograd.grad(torch.nn.functional.cross_entropy(net(data), labels), list(net.parameters()))

    def counted(run: Callable[[], object]) -> Way:
        return lambda _: (run(), batch)[1]

    found = []
    for what, graph, plain in (
            ("step of fine-tuning", graph_step, plain_step),
            ("forward pass", torch.inference_mode()(lambda: testing(inputs, Pass(False, cpu))),
             torch.inference_mode()(lambda: torch.softmax(net(data), 1)))):
        rates = in_turns([counted(graph), counted(plain)], seconds, time.process_time)
        found.append(Comparison(f"{what}, A1 of width {width:g}, {batch}x{crop}x{crop}", "plain PyTorch module", *rates,
                                ASKED, f"PyTorch {torch.__version__} with {torch.get_num_threads()} threads"))
    return found
