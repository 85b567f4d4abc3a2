"""What the paper's trainings need at full scale: cards, memory of each, and an estimate of the hours.

    python tools/reproduce.py full-scale --out docs/results/tables/full-scale.md
    python tools/reproduce.py full-scale --peak 19.5 --card "NVIDIA A100"

Read off the recipes' commands; nothing is run.
"""
import shlex
from dataclasses import dataclass
from typing import Optional

from ademxapp.cli import number
from ademxapp.inspection import graph
from ademxapp.inspection.costs import build, default_setting
from ademxapp.inspection.memory import MIB, planned_bytes, training_bytes
from ademxapp.symbol import parse_label
from ademxapp.text_tables import FORMATS, emit, table
from ademxapp.yaml_files import read_yaml
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION
from tools.reproducing.recipes import item_name, read_recipe

RECIPES = ("ilsvrc", "ilsvrc-strided", "places", "voc", "voc-train", "voc-coco", "cityscapes", "cityscapes-coarse",
           "ade20k", "ade20k-pooling", "pascal-context")
DEFAULTS = {"card": "NVIDIA V100", "peak": 15.7, "utilisation": 0.4}
PASSES = 3  # of the cost of testing: forward, and backward to the maps and to the weights
OPERATIONS = 2  # of a multiply-add
COLUMNS = ("python tools/reproduce.py run …", "trainings", "multiply-adds of a crop (G)", "cards", "MiB of a card",
           "hours (estimate)")
ABOUT = """\
Every training of the paper that has a recipe, read off the recipes' commands by `{command}`; nothing was run. The
commands want the datasets, and the weights that they start from: `--dry-run` tells both.

The hours are an **estimate**; no card was measured. For each training,

    hours = images x epochs x multiply-adds of a crop x {operations} x {passes} / (cards x peak x utilisation) / 3600

with {operations} operations for a multiply-add, {passes} times the forward pass for forward and backward, a peak of
{peak:g} TFLOPS (float32) for one {card}, and an assumed utilisation of {utilisation:g}. The recipes'
`--backward-do-mirror` adds 20 to 38 % to a step (measured on CPUs), which is not in the hours, nor are tests and lists.
The paper gives no hours, and numbers of iterations for classification alone: the epochs of segmentation are the
recipes' choice, as they say.

The memory is MXNet's plan with `--backward-do-mirror`, and three times the parameters; the convolutions' workspace on
a card comes on top. The cards need a compute capability of 5.0 to 8.9."""


@dataclass(frozen=True)
class Training:
    """A training as its command has it: images (None where not known), epochs, and each card's share of a batch."""

    label: str
    crop: int
    head: str
    images: Optional[int]
    epochs: int
    cards: int
    share: int


def add_arguments(parser):
    """Add the arguments of `reproduce.py full-scale`."""
    parser.description = __doc__
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--card", help="what the peak is of")
    parser.add_argument("--peak", type=number(float, 0.001), metavar="TFLOPS", help="of a card, float32")
    parser.add_argument("--utilisation", type=number(float, 0.001, 1), help="share of the peak, assumed")
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="of what is written")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(args):
    """Print or write the page."""
    rows, known = [], {}
    for name in RECIPES:
        path = f"recipes/{name}.yaml"
        for item in [item_name(one) for one in read_yaml(path).get("for", [])] or [None]:
            trainings = trainings_of(read_recipe(path, [item] if item else None))
            rows.append(row_of(f"{path}{f' --only {item}' if item else ''}", trainings, args, known))
    given = [word for name, value in {**DEFAULTS, "out": None}.items() if getattr(args, name) != value
             for word in (f"--{name}", str(getattr(args, name)))]
    command = shlex.join(["python", "tools/reproduce.py", "full-scale", *given])
    about = ABOUT.format(operations=OPERATIONS, passes=PASSES, **{**vars(args), "command": command})
    emit("\n\n".join(["# The paper's trainings at full scale", about, table(COLUMNS, rows, args.format == "markdown")])
         + "\n", args.out)


def trainings_of(recipe):
    """The `Training` of every training stage of a recipe."""
    found = []
    for stage in recipe["stages"]:
        words = shlex.split(stage["command"])
        if "--to-epoch" in words:
            given = dict(zip(words, words[1:]))
            label, cards = parse_label(given["--model"]), len(given["--gpus"].split(","))
            records = SEGMENTATION if label.stride else CLASSIFICATION
            found.append(Training(given["--model"], int(given["--crop-size"]), given.get("--head", "2conv"),
                                  records[label.dataset].splits.get(given.get("--split", "train")),
                                  int(given["--to-epoch"]), cards, int(given["--batch-images"]) // cards))
    return found


def row_of(command, trainings, args, known):
    """A line of the table; `known` keeps the costs of (network, crop, head, share)."""
    found = []
    for one in trainings:
        key = (str(parse_label(one.label)), one.crop, one.head, one.share)
        if key not in known:
            known[key] = costs_of(one)
        found.append(known[key])
    operations = [one.images and one.images * one.epochs * multiply_adds * OPERATIONS * PASSES
                  for one, (multiply_adds, _) in zip(trainings, found)]
    hours = None if None in operations else sum(operations) / (
        trainings[0].cards * args.peak * 1e12 * args.utilisation) / 3600
    return (f"`{command}`", ", then ".join(f"{one.epochs} x {f'{one.images:,}' if one.images else 'unknown'}"
                                           for one in trainings),
            f"{max(multiply_adds for multiply_adds, _ in found) / 1e9:.1f}", trainings[0].cards,
            f"{max(size for _, size in found) // MIB:,}", "unknown" if hours is None else f"{hours:.0f}")


def costs_of(training):
    """Multiply-adds of a crop, and bytes on each card in training with recomputation: (int, int)."""
    label = parse_label(training.label)
    setting = default_setting(label, None, training.share, training.crop, training.head, "ohem")
    symbol, shape = build(label, setting, training=True, recompute=True), setting.data_shape
    total = training_bytes(planned_bytes(symbol, shape), graph.parameter_counts(symbol, shape)[0])
    return sum(layer.multiply_adds for layer in graph.layers(symbol, shape)), total
