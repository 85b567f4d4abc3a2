"""What is counted in networks without any dataset, and how fast they were measured to be."""
import json
import os
from itertools import product
from pathlib import Path
from typing import Dict, Optional, Tuple

from ademxapp.files import Values, kept
from ademxapp.paper import Row
from ademxapp.symbol import Label, network, parse_label

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
TYPES, REFERENCE = ("float32", "bfloat16"), "rn-101"
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


def card_measured() -> Optional[Values]:
    """What `make bench-card` has kept; None where no card was measured."""
    path = RESULTS / "speed" / "card.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rehearsed": True}
    return None if found["rehearsed"] else found


def card_row(found: Values, kind: str, network: str, head: Optional[str] = None, dtype: str = "float32") -> Values:
    """What was measured of a network on the card, not compiled: images_per_s and, of trainings, memory; or nothing."""
    wanted = {"kind": kind, "network": network, "head": head, "dtype": dtype, "compiled": False, "read": False}
    return next((row for row in found["rows"] if "error" not in row and wanted.items() <= row.items()), {})


def card_of(row: Row) -> Tuple[Dict[str, float], str]:
    """{column: value} of what was measured of a row of Table 1 or 2 on a card, and how; else nothing."""
    found, values = card_measured(), {}
    for kind, dtype in product(("tuning",) if row.head else ("testing", "training"), TYPES) if found else ():
        one = card_row(found, kind, row.network, row.head, dtype)
        names = {"images_per_s": f"card_{kind}_{dtype}", "memory": f"card_memory_{dtype}"}
        values.update({name: one[key] for key, name in names.items() if key in one})
    for name in [name for name in values if name.startswith("card_testing")]:
        values[name] /= row.crops
    reference = card_row(found, "testing", REFERENCE) if found else {}
    if reference and "card_testing_float32" in values:
        values["card_ratio"] = values["card_testing_float32"] / reference["images_per_s"]
    return values, (f"on a card: `make bench-card` on {found['card']}, PyTorch {found['torch']}, not compiled; random "
                    "images and parameters; float32 is TF32 in convolutions") if values else ""


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
