"""What is counted in networks without any dataset, how fast they were measured to be, and what trainings need.

The hours of the paper's trainings at full scale are an estimate. Beside it stand, where `make bench-card` has measured
a network with the same head and crop, those of the images per second that a card has reached: without
`--backward-do-mirror`, each of several cards being as fast as one alone.
"""
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ademxapp.cli import table
from ademxapp.files import Values, kept, read_json
from ademxapp.paper import Row
from ademxapp.symbol import Label, network, parse_label, whole_cells
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION

from .recipes import Step, read_recipe

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
MEMORY_IMAGES, MEMORY_CROP, MEMORY_CLASSES = 4, 504, 21  # of a device in the fine-tuning of Table 2
RECIPES = ("ilsvrc", "ilsvrc-strided", "places", "voc", "voc-train", "voc-coco", "cityscapes", "cityscapes-coarse",
           "ade20k", "ade20k-pooling", "pascal-context")
PEAK, UTILISATION = 15.7, 0.4  # TFLOPS of an NVIDIA V100 in float32, and the share of it that is assumed
OPERATIONS = 2 * 3  # of a multiply-add of testing, in training: forward, and backward to the maps and to the weights
COLUMNS = ("python tools/reproduce.py run …", "trainings", "multiply-adds of a crop (G)", "cards", "MiB of a card",
           "hours (estimate)")
Known = Tuple[Dict[str, float], str]  # {column: value} of a row of Table 1 or 2, and how; else nothing


def counted(label: str, images: int, crop: int, head: str = "", loss: str = "softmax", recompute: bool = False
            ) -> Values:
    """What a training on one device has, of `images` of `crop` pixels; counted in seconds, then kept (counted.json)."""
    inputs = {"images": images, "crop": crop, "head": head, "loss": loss, "recompute": recompute}
    name = " ".join([label, str(images), str(crop), head, loss] + ["recomputed"] * recompute)
    return kept(str(RESULTS / "counted.json"), inputs, lambda: count(label, **inputs), name)


def count(label: str, images: int, crop: int, head: str, loss: str, recompute: bool) -> Values:
    """What `counted` keeps."""
    from ademxapp.inspection.costs import Setting, build, layers, parameter_counts, training_memory
    parsed = parse_label(label)
    setting = Setting("segmentation" if parsed.stride else "classification", images, crop, head, loss)
    symbol = build(parsed, setting, training=True, recompute=recompute)
    return {"parameters": parameter_counts(symbol, setting.data_shape)[0],
            "multiply_adds": sum(layer.multiply_adds for layer in layers(symbol, setting.data_shape)),
            "memory": training_memory(parsed, setting, recompute)}


def counts_of(row: Row) -> Known:
    """What is counted in the network."""
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


def speeds_of(row: Row) -> Known:
    """What `python tools/bench.py networks` has kept of the network."""
    found = kept_speeds("networks") or {"found": []}
    for one in found["found"]:
        if one["what"] == row.network:
            return {"speed": one["rates"][0] / row.crops, "speed_ratio": one["ratio"] / row.crops}, (
                f"in turns with {one['against']} on {found['machine']}; random images and parameters")
    return {}, ""


def kept_speeds(name: str) -> Optional[Values]:
    """What is kept of a measurement; None where it was not made, or only rehearsed."""
    path = RESULTS / "speed" / f"{name}.json"
    found = read_json(str(path)) if path.exists() else {"rehearsed": True}
    return None if found.get("rehearsed") else found


def card_row(found: Values, kind: str, network: str, head: Optional[str] = None, dtype: str = "float32") -> Values:
    """What was measured of a network on the card, not compiled: images_per_s and, of trainings, memory; or nothing."""
    wanted = {"kind": kind, "network": network, "head": head, "dtype": dtype, "compiled": False, "read": False}
    return next((row for row in found["rows"] if "error" not in row and wanted.items() <= row.items()), {})


def card_of(row: Row) -> Known:
    """What was measured of the network on a card."""
    found, values = kept_speeds("card") or {"rows": []}, {}
    for kind, dtype in product(("tuning",) if row.head else ("testing", "training"), ("float32", "bfloat16")):
        one = card_row(found, kind, row.network, row.head, dtype)
        if one:
            values[f"card_{kind}_{dtype}"] = one["images_per_s"] / (row.crops if kind == "testing" else 1)
        if "memory" in one:
            values[f"card_memory_{dtype}"] = one["memory"]
    reference = card_row(found, "testing", "rn-101")
    if reference and "card_testing_float32" in values:
        values["card_ratio"] = values["card_testing_float32"] / reference["images_per_s"]
    return values, (f"on a card: `make bench-card` on {found['card']}, PyTorch {found['torch']}, not compiled; random "
                    "images and parameters; float32 is TF32 in convolutions") if values else ""


class Training(NamedTuple):
    """A training as its step has it, and what it costs each card."""

    images: Optional[int]  # None where it is not known
    epochs: int
    cards: int
    share: int  # of a batch, of each card
    multiply_adds: int
    memory: int
    speed: Optional[float]  # images per second, if a card was measured


def full_scale(*chosen: str) -> str:
    """The table of all trainings, or of those chosen as RECIPE or RECIPE:ITEM; peak=, utilisation= are of a card."""
    given = dict(word.split("=") for word in chosen if "=" in word)
    peak, utilisation = float(given.get("peak", PEAK)), float(given.get("utilisation", UTILISATION))
    wanted = [word for word in chosen if "=" not in word]
    rows, card = [], kept_speeds("card")
    for recipe in (read_recipe(f"recipes/{name}.yaml") for name in RECIPES):
        for item in recipe.items or [""]:
            name = recipe.path[len("recipes/"):-len(".yaml")]
            if not wanted or name in wanted or f"{name}:{item}" in wanted:
                trainings = [training_of(step, card) for step in recipe.steps
                             if step.item == item and "to-epoch" in step.settings]
                row = row_of(f"`{recipe.path}{f' --only {item}' * bool(item)}`", trainings, peak, utilisation)
                rows.append(row if card else row[:-1])
    return table((*COLUMNS, *([f"hours on {card['card']} (as measured)"] if card else [])), rows, True)


def training_of(step: Step, card: Optional[Values] = None) -> Training:
    """A step's training."""
    given = {flag: str(value) for flag, value in step.settings.items()}
    label, cards, crop = parse_label(given["model"]), len(given["gpus"].split(",")), int(given["crop-size"])
    head, usual, more = None, network(label.network).input.train_crop, {}
    if label.stride:
        crop, head, usual = whole_cells(crop, label.stride), given.get("head", "2conv"), MEMORY_CROP
        more = {"head": head, "loss": "ohem"}
    share = int(given["batch-images"]) // cards
    found = counted(str(replace(label, tag=None)), share, crop, recompute=True, **more)
    images = (SEGMENTATION if head else CLASSIFICATION)[label.dataset].splits.get(given.get("split", "train"))
    speed = card_row(card, "tuning" if head else "training", label.network, head, given.get("dtype", "float32")).get(
        "images_per_s") if card and crop == usual and label.stride in (None, 8) else None
    return Training(images, int(given["to-epoch"]), cards, share, found["multiply_adds"], found["memory"], speed)


def row_of(command: str, trainings: Sequence[Training], peak: float, utilisation: float) -> List[str]:
    """A line of the table: trainings, one after the other; in the end the hours as measured."""
    images = [f"{one.epochs} x {f'{one.images:,}' if one.images else 'unknown'}" for one in trainings]
    estimate = hours(trainings, [peak * 1e12 * utilisation / (OPERATIONS * one.multiply_adds) for one in trainings])
    measured = hours(trainings, [one.speed for one in trainings])
    return [command, ", then ".join(images), f"{max(one.multiply_adds for one in trainings) / 1e9:.1f}",
            str(trainings[0].cards), f"{max(one.memory for one in trainings) // 2 ** 20:,}",
            "unknown" if estimate is None else f"{estimate:.0f}", "–" if measured is None else f"{measured:.1f}"]


def hours(trainings: Sequence[Training], speeds: Sequence[Optional[float]]) -> Optional[float]:
    """Of all trainings at so many images per second of a card; None where those or the images are not known."""
    if not all(one.images and speed for one, speed in zip(trainings, speeds)):
        return None
    return sum(one.images * one.epochs / (one.cards * speed) for one, speed in zip(trainings, speeds)) / 3600
