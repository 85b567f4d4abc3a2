"""Measurements of speed on this machine. Every figure stands beside one measured in the same run.

    python tools/bench.py networks
    python tools/bench.py networks rna-a rna-b rn-101 --batch 2 --rounds 1
    python tools/bench.py networks --gpus 0 --format markdown --output networks.md

networks: images per second in testing, at each network's test crop in batches of ten as in the paper's Table 1 (fewer
where ten do not fit into the memory), and the ratio to ResNet-101, which is run first and last.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.bench")

import json
import sys
from dataclasses import asdict, replace

from ademxapp.backend import check_card, mx
from ademxapp.cli import UsageError, number
from ademxapp.driver import make_parser
from ademxapp.files import write_text
from ademxapp.inspection.published import TABLE1
from ademxapp.inspection.speed import fitting_images, free_bytes, images_per_second
from ademxapp.symbol import SymbolOptions, classification_symbol, network
from tools.summary import FORMATS, table

REFERENCE = "rn-101"
TESTING = SymbolOptions(bn_use_global_stats=True)
PAPER = {row.network: row.speed for row in TABLE1}
COLUMNS = ("network", "images x crop", "images/s", f"ratio to {REFERENCE}", "Table 1: images/s", "Table 1: ratio")


def build_parser():
    """The command line; a measurement adds its own subcommand."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_networks(commands)
    return parser


def add_networks(commands):
    """The arguments of `networks`."""
    command = commands.add_parser("networks", help="images per second of networks in testing")
    command.add_argument("names", nargs="*", metavar="NETWORK", help="networks (those of Table 1)")
    command.add_argument("--batch", type=number(int, 1), default=10, help="images in a batch")
    command.add_argument("--crop", type=number(int, 1), help="side of the images (the network's test crop)")
    command.add_argument("--rounds", type=number(int, 1), default=3, help="batches, of which the fastest counts")
    command.add_argument("--gpus", type=number(int, 0), metavar="N", help="the card to run on, instead of the CPU")
    command.add_argument("--format", choices=FORMATS, default="table", help="of what is printed")
    command.add_argument("--output", metavar="FILE", help="write there instead of printing")
    command.set_defaults(measure=bench_networks)


def main(argv=None):
    """Run the measurement that the arguments name."""
    args = build_parser().parse_args(argv)
    args.measure(args)


def bench_networks(args):
    """Measure every network, the reference first and last."""
    if args.gpus is not None:
        try:
            check_card(args.gpus)
        except ValueError as error:
            raise UsageError(f"{error} (without --gpus it runs on the CPU)") from error
    names = [name for name in args.names or [row.network for row in TABLE1] if name != REFERENCE]
    for name in names:
        network(name)  # a wrong name ends the run before it starts
    found = []
    for name in [REFERENCE, *names, REFERENCE]:
        found.append(measure_network(name, args))
        print(f"{name}: {found[-1].images_per_second:.3g} images/s", file=sys.stderr)
    first, last = found[0].images_per_second, found.pop().images_per_second
    found[0] = replace(found[0], images_per_second=(first * last) ** 0.5)
    text = as_json(found, last / first) if args.format == "json" else as_table(
        found, args.batch, last / first, args.format == "markdown")
    if args.output:
        write_text(args.output, text)
    else:
        print(text, end="")


def measure_network(name, args):
    """The `Speed` of one network, in the largest batch that fits."""
    symbol = classification_symbol(f"ilsvrc-cls_{name}_cls1000", TESTING)
    crop = args.crop or network(name).input.test_crop
    if args.gpus is not None:
        return images_per_second(symbol, name, args.batch, crop, args.rounds, mx.gpu(args.gpus))
    return images_per_second(symbol, name, fitting_images(symbol, args.batch, crop, free_bytes()), crop, args.rounds)


def as_json(found, drift):
    """The measurements, the reference's first, with the ratios to it."""
    reference = found[0].images_per_second
    return json.dumps({"reference": REFERENCE, "last_over_first": drift, "networks": [
        dict(asdict(item), ratio=item.images_per_second / reference, paper=PAPER.get(item.network))
        for item in found]}, indent=1) + "\n"


def as_table(found, batch, drift, markdown):
    """The measurements as a table, and what was not as asked."""
    rows, reference = [], found[0].images_per_second
    for item in found:
        paper = PAPER.get(item.network)
        rows.append((item.network, f"{item.images} x {item.crop}x{item.crop}", f"{item.images_per_second:.3g}",
                     f"{item.images_per_second / reference:.2f}", paper or "",
                     f"{paper / PAPER[REFERENCE]:.2f}" if paper else ""))
    notes = [f"{REFERENCE} is the geometric mean of two runs; the last was {drift:.2f} times as fast as the first."]
    notes += [f"{item.network}: {item.images} images instead of {batch}, which do not fit into the free memory."
              for item in found if item.images < batch]
    return "\n\n".join([table(COLUMNS, rows, markdown), *notes]) + "\n"
