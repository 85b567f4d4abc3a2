"""What is counted in networks without any dataset, and how fast they were measured to be."""
import json
import os
from pathlib import Path
from typing import Dict, Tuple

from ademxapp.files import Values, kept
from ademxapp.paper import Row
from ademxapp.symbol import Label, network, parse_label

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
MEMORY_IMAGES, MEMORY_CROP, MEMORY_CLASSES = 4, 504, 21  # of a device in the fine-tuning of Table 2


def counted(label: str, images: int, crop: int, head: str = "", loss: str = "softmax", recompute: bool = False
            ) -> Values:
    """Parameters, multiply-adds of an image and bytes of a training on one device, of `images` of `crop` pixels.

    They are counted once, in seconds, and kept: docs/results/counted.json.
    """
    inputs = {"images": images, "crop": crop, "head": head, "loss": loss, "recompute": recompute}
    given = [str(value) for name, value in inputs.items() if name != "recompute"] + ["recomputed"] * recompute
    return kept(str(RESULTS / "counted.json"), inputs, lambda: count(label, **inputs), " ".join([label, *given]))


def count(label: str, images: int, crop: int, head: str, loss: str, recompute: bool) -> Values:
    """What `counted` keeps."""
    from ademxapp.inspection import graph
    from ademxapp.inspection.costs import Setting, build, training_memory
    parsed = parse_label(label)
    setting = Setting("segmentation" if parsed.stride else "classification", images, crop, head, loss)
    symbol = build(parsed, setting, training=True, recompute=recompute)
    return {"parameters": graph.parameter_counts(symbol, setting.data_shape)[0],
            "multiply_adds": sum(layer.multiply_adds for layer in graph.layers(symbol, setting.data_shape)),
            "memory": training_memory(parsed, setting, recompute)}


def counts_of(row: Row) -> Tuple[Dict[str, float], str]:
    """{column: value} of what is counted in the network of a row of Table 1 or 2, and how."""
    if row.head:
        label = str(Label("voc", row.network, MEMORY_CLASSES, 8))
        memory = counted(label, MEMORY_IMAGES, MEMORY_CROP, row.head)["memory"] / 2 ** 30
        ratio = {"memory_ratio": memory / row.paper["memory"]} if "memory" in row.paper else {}
        return {"memory": memory, **ratio}, "MXNet's plan and three times the parameters, in GiB; nothing is allocated"
    net = network(row.network)
    found = counted(str(Label("ilsvrc-cls", row.network, 1000)), 1, net.input.train_crop)
    return {"depth": net.depth, "input": net.input.train_crop, "parameters": found["parameters"],
            "multiply_adds": found["multiply_adds"]}, (
        "parameters and multiply-adds are counted in the network's graph, for one image of the training input's size; "
        "depths are those in the networks' records, layers as the paper counts them")


def speeds_of(row: Row, path: str = str(RESULTS / "speed" / "networks.json")) -> Tuple[Dict[str, float], str]:
    """{column: value} of what `python tools/bench.py networks` has kept of a row's network, and how; else nothing."""
    if not os.path.exists(path):
        return {}, ""
    with open(path, encoding="utf-8") as source:
        kept_speeds = json.load(source)
    for found in kept_speeds["found"]:
        if found["what"] == row.network:
            return {"speed": found["rates"][0] / row.crops, "speed_ratio": found["ratio"] / row.crops}, (
                f"in turns with {found['against']} on {kept_speeds['machine']}; random images and parameters")
    return {}, ""
