"""Measurements of speed on this machine. Every figure stands beside one measured in the same run.

    python tools/bench.py networks
    python tools/bench.py networks rna-a1 rna-d1 rn-101 --batch 2 --rounds 1
    python tools/bench.py networks --gpus 0 --format markdown --output networks.md
    python tools/bench.py reading --task classification --root data/ilsvrc12 --list data/ilsvrc12/train.lst
    python tools/bench.py training
    python tools/bench.py all

networks: images per second in testing, at each network's test crop in batches of ten as in the paper's Table 1 (fewer
where ten do not fit into the memory), and the ratio to ResNet-101, whose batches are run in turns with the network's.
reading: images per second of processor time that training's samples take, beside a straightforward way with Pillow and
NumPy that makes the same crops; both in turns, on one core.
training: images per second of a training with its reports, checks and snapshots, beside a bare loop over the batches.
step: images per second of training steps of Model A1, beside PyTorch's; with online bootstrapping, beside softmax.
dtypes: images per second of Model A1 in testing, in float32, bfloat16 and INT8, beside PyTorch's in float32.
scores: labels from score maps, beside Pillow's resizing of every class in a pool of processes.
lists: time and memory to read a list, and records, as long as ILSVRC's, and to the first batch of them.
graph: the PyTorch engine's graph of Model A1, beside the same network as a plain PyTorch module.
card: Model A1 on a card held to the CPU's numbers, then images per second and memory of the networks of Tables 1 and 2.
all: every measurement, kept in docs/results/speed, from which `python tools/reproduce.py pages` fills the pages.

A measurement is a module of tools/benchmarks: `add_arguments(command)`, and `measure(...)`, which is given the values
of those arguments by their names and returns comparisons.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.bench")

import sys
from importlib import import_module
from types import ModuleType
from typing import Optional, Sequence

from ademxapp.cli import TABLES, Formatter, Parser, make_parser

from .benchmarks.comparison import show

# Modules of tools/benchmarks, imported only where their command is the one given: they need different engines.
MEASUREMENTS = {
    "networks": "images per second of networks in testing",
    "reading": "images per second of reading for training, on one core",
    "lists": "time and memory of lists of ILSVRC's length, to the first batch",
    "scores": "score maps to labels, beside Pillow",
    "training": "images per second of training, with and without all that surrounds it",
    "dtypes": "images per second of testing in float32, bfloat16 and INT8, beside PyTorch's",
    "graph": "the PyTorch engine's graph beside a plain PyTorch module",
    "step": "images per second of training steps, beside PyTorch's, and with online bootstrapping",
}
RUNS = {"all": ("comparison", "everything, kept for the pages"),
        "card": ("card", "the PyTorch engine on a card: checks, speed, memory")}


def build_parser(asked: str) -> Parser:
    """The command line: a subcommand for each measurement, with the arguments of the one that is asked for."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {**MEASUREMENTS, **{name: text for name, (_, text) in RUNS.items()}}.items():
        command = commands.add_parser(name, help=text, formatter_class=Formatter)
        if name == asked:
            module_of(name).add_arguments(command)
        if name in MEASUREMENTS:
            command.add_argument("--format", choices=TABLES, default="table", help="of what is printed")
            command.add_argument("--output", metavar="FILE", help="write there instead of printing")
    return parser


def module_of(name: str) -> ModuleType:
    """A command's module."""
    return import_module(f".benchmarks.{RUNS[name][0] if name in RUNS else name.replace('-', '_')}", __package__)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the measurement that the arguments name; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    values = vars(build_parser(argv[0] if argv else "").parse_args(argv))
    command = values.pop("command")
    if command == "all":
        return module_of("all").run([name for name in MEASUREMENTS if name != "graph"], **values)
    if command in RUNS:
        return module_of(command).run(**values)
    form, output = values.pop("format"), values.pop("output")
    show(module_of(command).measure(**values), form, output)
    return 0
