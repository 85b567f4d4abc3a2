"""Images per second of networks in testing, in turns with ResNet-101."""
import json
import sys
from dataclasses import asdict, dataclass

from ademxapp.backend import check_card, mx
from ademxapp.cli import UsageError, number
from ademxapp.inspection.speed import Runner, fitting_images, race
from ademxapp.machine import free_bytes
from ademxapp.paper import read_table
from ademxapp.symbol import SymbolOptions, classification_symbol, network
from ademxapp.text_tables import emit, table

REFERENCE = "rn-101"
TESTING = SymbolOptions(bn_use_global_stats=True)
PAPER = {row.network: row.paper.get("speed") for row in reversed(read_table("table1").rows)}
COLUMNS = ("network", "images x crop", "images/s", f"ratio to {REFERENCE}", "Table 1: images/s", "Table 1: ratio")


@dataclass(frozen=True)
class Speed:
    """A network's images per second, those of the reference in turns with it, and what a batch was."""

    network: str
    images: int
    crop: int
    images_per_second: float
    reference_per_second: float

    @property
    def ratio(self):
        """Times as fast as the reference."""
        return self.images_per_second / self.reference_per_second


def add_arguments(command):
    """The arguments of `networks`."""
    command.add_argument("names", nargs="*", metavar="NETWORK", help="networks (those of Table 1)")
    command.add_argument("--batch", type=number(int, 1), default=10, help="images in a batch")
    command.add_argument("--crop", type=number(int, 1), help="side of the images (the network's test crop)")
    command.add_argument("--rounds", type=number(int, 1), default=3, help="batches, of which the fastest counts")
    command.add_argument("--gpus", type=number(int, 0), metavar="N", help="the card to run on, instead of the CPU")


def measure(args):
    """Measure every network, the reference first and last."""
    if args.gpus is not None:
        try:
            check_card(args.gpus)
        except ValueError as error:
            raise UsageError(f"{error} (without --gpus it runs on the CPU)") from error
    names = args.names or list(reversed(list(PAPER)))
    try:
        for name in names:
            network(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    reference = make_runner(REFERENCE, args)
    found = [measure_one(name, reference, args) for name in names]
    emit(as_json(found) if args.format == "json" else as_table(found, args.batch, args.format == "markdown"),
         args.output)


def measure_one(name, reference, args):
    """The `Speed` of one network, in turns with the reference's runner."""
    runner = make_runner(name, args)
    speed, reference_speed = race([runner, reference], args.rounds)
    print(f"{name}: {speed:.3g} images/s, {REFERENCE}: {reference_speed:.3g} images/s", file=sys.stderr)
    return Speed(name, runner.images, runner.crop, speed, reference_speed)


def make_runner(name, args):
    """A network's runner, with the largest batch that fits."""
    symbol = classification_symbol(f"ilsvrc-cls_{name}_cls1000", TESTING)
    crop = args.crop or network(name).input.test_crop
    if args.gpus is not None:
        return Runner(symbol, args.batch, crop, mx.gpu(args.gpus))
    return Runner(symbol, fitting_images(symbol, args.batch, crop, free_bytes()), crop)


def as_json(found):
    """The measurements, with the ratios and the paper's speeds."""
    return json.dumps({"reference": REFERENCE, "networks": [
        dict(asdict(item), ratio=item.ratio, paper=PAPER.get(item.network)) for item in found]}, indent=1) + "\n"


def as_table(found, batch, markdown):
    """The measurements as a table, and what was not as asked."""
    rows = []
    for item in found:
        paper = PAPER.get(item.network)
        rows.append((item.network, f"{item.images} x {item.crop}x{item.crop}", f"{item.images_per_second:.3g}",
                     f"{item.ratio:.2f}", paper or "", f"{paper / PAPER[REFERENCE]:.2f}" if paper else ""))
    notes = [f"{item.network}: {item.images} images instead of {batch}, which do not fit into the free memory."
             for item in found if item.images < batch]
    return "\n\n".join([table(COLUMNS, rows, markdown), *notes]) + "\n"
