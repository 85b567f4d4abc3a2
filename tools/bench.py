"""Measurements of speed on this machine. Every figure stands beside one measured in the same run.

    python tools/bench.py networks
    python tools/bench.py networks rna-a1 rna-d1 rn-101 --batch 2 --rounds 1
    python tools/bench.py networks --gpus 0 --format markdown --output networks.md
    python tools/bench.py reading --task classification --root data/ilsvrc12 --list data/ilsvrc12/train.lst
    python tools/bench.py training
    python tools/bench.py all

A measurement is a function in tools/benchmarks whose parameters' defaults are its flags; it returns comparisons.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.bench")

import json
import sys
from dataclasses import Field, make_dataclass
from importlib import import_module
from inspect import getdoc, signature
from typing import Optional, Sequence

from ademxapp.cli import TABLES, Formatter, emit, make_parser
from ademxapp.flags import Settings

from .benchmarks.comparison import as_text

# Modules of tools/benchmarks with a function of the command's name; they need different engines, and are imported only
# where their command is the one given.
MEASUREMENTS = {
    "networks": ("testing", "images per second of networks in testing, beside ResNet-101's"),
    "reading": ("reading", "images per second of reading for training, on one core"),
    "lists": ("reading", "time and memory of lists of ILSVRC's length, to the first batch"),
    "scores": ("testing", "score maps to labels, beside Pillow"),
    "training": ("training", "images per second of training, with and without all that surrounds it"),
    "dtypes": ("beside_torch", "images per second of testing in float32, bfloat16 and INT8, beside PyTorch's"),
    "graph": ("beside_torch", "the PyTorch engine's graph beside a plain PyTorch module"),
    "step": ("beside_torch", "images per second of training steps, beside PyTorch's, and with online bootstrapping"),
}
RUNS = {"all": ("comparison", "everything, kept for the pages (tools/reproduce.py pages fills them)"),
        "card": ("card", "the PyTorch engine on a card: held to the CPU's numbers, speed, memory")}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the measurement that the arguments name; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (place, text) in {**MEASUREMENTS, **RUNS}.items():
        command = commands.add_parser(name, help=text, formatter_class=Formatter)
        if argv[:1] == [name]:
            module = import_module(f".benchmarks.{place}", __package__)
            called = getattr(module, name if name in MEASUREMENTS else "run")
            flags = [(one.name, one.annotation, one.default) for one in signature(called).parameters.values()
                     if isinstance(one.default, Field)]
            make_dataclass("Flags", flags, bases=(Settings,), frozen=True).add_to(command)
            command.description = module.__doc__ if name == "card" else getdoc(called)
            if name in MEASUREMENTS:
                command.add_argument("--format", choices=TABLES, default="table", help="of what is printed")
                command.add_argument("--output", metavar="FILE", help="write there instead of printing")
    values = vars(parser.parse_args(argv))
    command = values.pop("command")
    if command in RUNS:
        more = {"names": [name for name in MEASUREMENTS if name != "graph"]} if command == "all" else {}
        return called(**values, **more)
    form, output = values.pop("format"), values.pop("output")
    records = [comparison.record() for comparison in called(**values)]
    emit(f"{json.dumps(records, indent=1) if form == 'json' else as_text(records, form == 'markdown')}\n", output)
    return 0
