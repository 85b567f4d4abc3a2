"""What the paper's trainings need at full scale, read off the recipes: cards, memory of each, hours.

The hours are an estimate. Beside it stand, where `make bench-card` has measured a network with the same head and crop,
those of the images per second that a card has reached: without `--backward-do-mirror`, each of several cards being as
fast as one alone.
"""
from dataclasses import replace
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from ademxapp.cli import table
from ademxapp.symbol import Label, network, parse_label
from iclass.datasets import DATASETS as CLASSIFICATION
from issegm.datasets import DATASETS as SEGMENTATION

from .measurements import MEMORY_CROP, card_measured, card_row, counted
from .recipes import Step, read_recipe

RECIPES = ("ilsvrc", "ilsvrc-strided", "places", "voc", "voc-train", "voc-coco", "cityscapes", "cityscapes-coarse",
           "ade20k", "ade20k-pooling", "pascal-context")
PEAK, UTILISATION = 15.7, 0.4  # TFLOPS of an NVIDIA V100 in float32, and the share of it that is assumed
PASSES = 3  # of the cost of testing: forward, and backward to the maps and to the weights
OPERATIONS = 2  # of a multiply-add
COLUMNS = ("python tools/reproduce.py run …", "trainings", "multiply-adds of a crop (G)", "cards", "MiB of a card",
           "hours (estimate)")


class Training(NamedTuple):
    """A training as its step has it: images (None where not known), epochs, each card's share of a batch, its costs.

    In the end stands what a card was measured to train, in images per second, if it was.
    """

    images: Optional[int]
    epochs: int
    cards: int
    share: int
    multiply_adds: int
    memory: int
    speed: Optional[float] = None

    def hours(self, peak: float, utilisation: float) -> Optional[float]:
        """An estimate, None where the number of images is not known."""
        operations = self.epochs * self.multiply_adds * OPERATIONS * PASSES
        return self.images and self.images * operations / (self.cards * peak * 1e12 * utilisation) / 3600

    def measured_hours(self) -> Optional[float]:
        """From the measured speed, None where that or the number of images is not known."""
        return self.images and self.speed and self.images * self.epochs / (self.cards * self.speed) / 3600


def block(*chosen: str) -> str:
    """The table of all trainings, or of those chosen as RECIPE or RECIPE:ITEM; peak=, utilisation= are of a card."""
    given = dict(word.split("=") for word in chosen if "=" in word)
    peak, utilisation = float(given.get("peak", PEAK)), float(given.get("utilisation", UTILISATION))
    wanted = [word for word in chosen if "=" not in word]
    rows, card = [], card_measured()
    for name in RECIPES:
        recipe = read_recipe(f"recipes/{name}.yaml")
        for item in recipe.items or [""]:
            if not wanted or name in wanted or f"{name}:{item}" in wanted:
                steps = [step for step in recipe.steps if step.item == item and "to-epoch" in step.settings]
                only = f" --only {item}" if item else ""
                trainings = list(map(training_of, steps))
                rows.append(row_of(f"`recipes/{name}.yaml{only}`", trainings, peak, utilisation)
                            + ([measured_cell(trainings)] if card else []))
    return table((*COLUMNS, *([f"hours on {card['card']} (as measured)"] if card else [])), rows, True)


def row_of(command: str, trainings: Sequence[Training], peak: float, utilisation: float) -> List[str]:
    """A line of the table."""
    hours = [one.hours(peak, utilisation) for one in trainings]
    return [command, ", then ".join(f"{one.epochs} x {f'{one.images:,}' if one.images else 'unknown'}"
                                    for one in trainings),
            f"{max(one.multiply_adds for one in trainings) / 1e9:.1f}", str(trainings[0].cards),
            f"{max(one.memory for one in trainings) // 2 ** 20:,}",
            "unknown" if None in hours else f"{sum(hours):.0f}"]


def measured_cell(trainings: Sequence[Training]) -> str:
    """The hours of trainings, one after the other, from what was measured."""
    hours = [one.measured_hours() for one in trainings]
    return "–" if None in hours else f"{sum(hours):.1f}"


def training_of(step: Step) -> Training:
    """A step's training."""
    given: Dict[str, str] = {flag: str(value) for flag, value in step.settings.items()}
    label, cards, crop = parse_label(given["model"]), len(given["gpus"].split(",")), int(given["crop-size"])
    records = SEGMENTATION if label.stride else CLASSIFICATION
    share, untagged = int(given["batch-images"]) // cards, replace(label, tag=None)
    if label.stride:
        crop = -(-crop // label.stride) * label.stride
        found = counted(str(untagged), share, crop, given.get("head", "2conv"), "ohem", recompute=True)
    else:
        found = counted(str(untagged), share, crop, recompute=True)
    images = records[label.dataset].splits.get(given.get("split", "train"))
    return Training(images, int(given["to-epoch"]), cards, share, found["multiply_adds"], found["memory"],
                    measured_speed(label, given, crop))


def measured_speed(label: Label, given: Mapping[str, str], crop: int) -> Optional[float]:
    """Images per second of one card in such a training, where it was measured."""
    card, head = card_measured(), given.get("head", "2conv") if label.stride else None
    if card is None or (crop, label.stride) not in ((MEMORY_CROP, 8), (network(label.network).input.train_crop, None)):
        return None
    kind, dtype = "tuning" if label.stride else "training", given.get("dtype", "float32")
    return card_row(card, kind, label.network, head, dtype).get("images_per_s")
