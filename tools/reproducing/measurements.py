"""What a machine measures of a network without any dataset: costs, planned memory, speed."""
import os
import sys
from dataclasses import dataclass, field
from typing import Callable, Optional, Tuple

from ademxapp import engine
from ademxapp.engine.mxnet.backend import read_capabilities
from ademxapp.inspection import graph
from ademxapp.inspection.costs import SEGMENTATION_IMAGES, Setting, training_memory
from ademxapp.machine import processor_name, processors
from ademxapp.symbol import Label, classification_symbol, network
from tools.benchmarks import networks
from tools.reproducing.cells import Need
from tools.reproducing.state import recall, remember

REFERENCE = "rn-101"
MEMORY_CROP, MEMORY_CLASSES = 504, 21


@dataclass
class Measurement:
    """What fills some of a row's cells.

    Attributes
    ----------
    kind, what : str
        What is measured, and of which network or by which command, in words.
    values : dict or None
        {column: value}, None as long as there are none.
    needs : tuple of Need
        What must be there before it can be made; of a test set, the server whose answer is the values.
    how : str
        How the values were obtained.
    make : callable, optional
        Makes the values and keeps them.
    folder : str, optional
        Of a test: where its results are.
    """

    kind: str
    what: str
    values: Optional[dict] = None
    needs: Tuple[Need, ...] = ()
    how: str = ""
    make: Optional[Callable] = field(default=None, repr=False)
    folder: Optional[str] = None

    @property
    def itself(self):
        """The need of one that only has to be made."""
        return Need("a run", self.kind, "the same command without --dry-run, or with this among --measure")


def costs_of(row):
    """The `Measurement` of depth, input, parameters and multiply-adds: they are counted at once."""
    label, net = Label("ilsvrc-cls", row.network, 1000), network(row.network)
    shape = (1, 3, net.input.train_crop, net.input.train_crop)
    symbol = classification_symbol(label)
    return Measurement("costs", row.network, {
        "depth": net.depth, "input": net.input.train_crop, "parameters": graph.parameter_counts(symbol, shape)[0],
        "multiply_adds": sum(layer.multiply_adds for layer in graph.layers(symbol, shape)),
    }, how="parameters and multiply-adds are counted in the network's graph, for one image of the training input's "
           "size; depths are those in the networks' records, layers as the paper counts them")


def memory_of(row, folder):
    """The `Measurement` of the memory of fine-tuning: MXNet's plan and three times the parameters, in GiB."""
    path = os.path.join(folder, f"memory-{row.network}-{row.head}.json")
    inputs = {"network": row.network, "head": row.head, "images": SEGMENTATION_IMAGES, "crop": MEMORY_CROP,
              "classes": MEMORY_CLASSES, **engine.load("mxnet").versions()}
    found = Measurement("planned memory", f"{row.network}, {row.head}", how="MXNet's plan and three times the "
                        "parameters, in GiB; nothing is allocated")

    def make():
        setting = Setting("segmentation", SEGMENTATION_IMAGES, MEMORY_CROP, row.head)
        return remember(path, inputs, {"bytes": training_memory(Label("voc", row.network, MEMORY_CLASSES, 8), setting)})

    def read(values):
        memory = values["bytes"] / 2 ** 30
        found.values = {"memory": memory}
        if "memory" in row.paper:
            found.values["memory_ratio"] = memory / row.paper["memory"]

    return with_cache(found, path, inputs, make, read)


def speed_of(row, folder, batch, rounds, card):
    """The `Measurement` of images per second at the network's test crop, and of their ratio to ResNet-101's.

    Both networks' batches are run in turns; of each, the fastest of `rounds` counts.
    """
    path = os.path.join(folder, f"speed-{row.network}.json")
    inputs = {"network": row.network, "batch": batch, "rounds": rounds, "machine": machine(card)}
    found = Measurement("speed", row.network)

    def make():
        one, = networks.measure([row.network], REFERENCE, batch, None, 1, rounds, card)
        return remember(path, inputs, {"images": int(one.remark.split()[0]), "speed": one.rates[0],
                                       "reference": one.other_rates[0]})

    def read(values):
        found.values = {"speed": values["speed"] / row.crops,
                        "speed_ratio": values["speed"] / row.crops / values["reference"]}
        found.how = (f"in turns with ResNet-101 on this machine ({', '.join(map(str, inputs['machine'].values()))}), "
                     f"random images and parameters, {values['images']} crop{'s' * (values['images'] > 1)} of the test "
                     f"size in a batch, the fastest of {rounds} batches")

    return with_cache(found, path, inputs, make, read)


def with_cache(found, path, inputs, make, read):
    """The measurement `found`, with its values where they are kept for `inputs`, or else with a way to make them."""
    def made():
        print(f"measuring: {found.kind} of {found.what}", file=sys.stderr, flush=True)
        read(make())

    kept = recall(path, inputs)
    if kept is not None:
        read(kept)
    else:
        found.make = made
    return found


def machine(card=None):
    """What speeds are of: the processors' kind and number, or the card; and MXNet's version."""
    mxnet = "MXNet {mxnet}".format(**engine.load("mxnet").versions())
    if card is not None:
        kind = "".join(", compute capability {}.{}".format(*one) for one in read_capabilities()[card:card + 1])
        return {"card": f"card {card}{kind}", "mxnet": mxnet}
    return {"processor": processor_name() or "processors", "processors": f"{processors()} processors",
            "mxnet": mxnet}
