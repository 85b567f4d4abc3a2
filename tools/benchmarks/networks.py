"""Images per second of networks in testing, in turns with a reference."""
import sys
from typing import List, Optional, Sequence

from ademxapp.cli import Parser, UsageError, number
from ademxapp.engine import Device, load
from ademxapp.inspection.costs import Runner, fitting_images, race, read_label
from ademxapp.machine import free_bytes
from ademxapp.paper import read_table
from ademxapp.symbol import Label, SymbolOptions, classification_symbol, network

from .comparison import Comparison

TESTING = SymbolOptions(bn_use_global_stats=True)


def add_arguments(command: Parser) -> None:
    """The arguments of `networks`."""
    command.add_argument("names", nargs="*", metavar="NETWORK", help="networks, or labels (those of Table 1)")
    command.add_argument("--reference", default="rn-101", metavar="NETWORK", help="network or label of the same kind")
    command.add_argument("--batch", type=number(int, 1), default=10, help="images in a batch")
    command.add_argument("--crop", type=number(int, 1), help="side of the images (the network's test crop)")
    command.add_argument("--crop-share", type=number(float, 0.01), default=1, help="of the network's test crop")
    command.add_argument("--rounds", type=number(int, 1), default=3, help="batches, of which the fastest counts")
    command.add_argument("--gpus", type=number(int, 0), metavar="N", help="the card to run on, instead of the CPU")


def measure(names: Sequence[str], reference: str, batch: int, crop: Optional[int], crop_share: float, rounds: int,
            gpus: Optional[int]) -> List[Comparison]:
    """A comparison of each network with the reference; its remark tells the batch."""
    try:
        card = None if gpus is None else load().devices([gpus])[0]
    except UsageError as error:
        raise UsageError(f"{error} (without --gpus it runs on the CPU)") from None
    names = names or list(dict.fromkeys(row.network for row in reversed(read_table("table1").rows)))[::-1]
    try:
        labels = {name: read_label(name) for name in (reference, *names)}
    except ValueError as error:
        raise UsageError(str(error)) from None

    def runner(name: str) -> Runner:
        side = crop or round(network(labels[name].network).input.test_crop * crop_share)
        return make_runner(labels[name], batch, side, card)

    other, found = runner(reference), []
    for name in names:
        one = runner(name)
        speed, other_speed = race([one, other], rounds)
        print(f"{name}: {speed:.3g} images/s, {reference}: {other_speed:.3g} images/s", file=sys.stderr)
        less = f" instead of {batch}, which do not fit into the free memory" if one.images < batch else ""
        found.append(Comparison(name, reference, (speed,), (other_speed,), None,
                                f"{one.images} x {one.crop}x{one.crop}{less}"))
    return found


def make_runner(label: Label, batch: int, crop: int, card: Optional[Device]) -> Runner:
    """A network's runner, with the largest batch that fits."""
    symbol = classification_symbol(label, TESTING)
    if card is not None:
        return Runner(symbol, batch, crop, card)
    return Runner(symbol, fitting_images(symbol, batch, crop, free_bytes()), crop)
