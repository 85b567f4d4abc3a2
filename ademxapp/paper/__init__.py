"""The paper's numbers: its Tables 1 to 7, each once, in a file of this folder.

A figure that the text of the paper does not have whole is LOST. Errors and scores are in percent, speeds in images per
second on a GTX 980, memory in GB per device.
"""
import functools
import os
from dataclasses import dataclass, field
from typing import Dict, NamedTuple, Optional, Tuple, Union

from ademxapp.files import read_yaml

FOLDER = os.path.dirname(__file__)
TABLES = tuple(f"table{number}" for number in range(1, 8))
LOST = "lost"
SCORES = ("top1_error", "top5_error", "pixel_acc", "mean_acc", "mean_iou", "mean_iou_of_categories",
          "mean_of_pixel_acc_and_mean_iou")
Figure = Union[float, str]


class Column(NamedTuple):
    """What a column is called, and the digits and the unit that its numbers are shown in.

    The paper's figures of an `even` column all have as many digits as the longest, the others as many as they have.
    """

    title: str
    digits: int = 2
    unit: float = 1.0
    even: bool = True


COLUMNS = {
    "depth": Column("depth", 0), "input": Column("tr. input", 0), "parameters": Column("parameters (M)", 1, 1e6),
    "multiply_adds": Column("multiply-adds (G)", 1, 1e9), "top1_error": Column("top-1 error (%)"),
    "top5_error": Column("top-5 error (%)"), "speed": Column("images/s", even=False),
    "speed_ratio": Column("speed / ResNet-101's"), "pixel_acc": Column("pixel acc. (%)"),
    "mean_acc": Column("mean acc. (%)"), "mean_iou": Column("mean IoU (%)"),
    "mean_iou_of_categories": Column("mean IoU of categories (%)"),
    "mean_of_pixel_acc_and_mean_iou": Column("mean of pixel acc. and mean IoU (%)"),
    "memory": Column("memory (GB)", even=False), "memory_ratio": Column("plan / paper's", 3),
    "models": Column("networks", 0), "card_ratio": Column("speed / ResNet-101's on a card"),
    **{f"card_{kind}_{dtype}": Column(f"{text} on a card, {dtype}", digits) for kind, text, digits in (
        ("testing", "images/s", 0), ("training", "images/s in training", 0), ("tuning", "images/s in training", 1),
        ("memory", "GiB in training", 2)) for dtype in ("float32", "bfloat16")}}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Of `tests` each is what scores it: the recipe, the item of its `for` (only) and the step (by default its last test);
    or, alone, the file of released weights (released) that the row is of too.
    """

    method: str  # what the paper calls it
    group: str = ""  # the part of the table that it stands in
    network: Optional[str] = None
    head: Optional[str] = None  # the top for segmentation
    crops: int = 1  # that one image counts for in the speed
    tests: Tuple[Dict[str, str], ...] = ()
    paper: Dict[str, Figure] = field(default_factory=dict)  # {column: figure}

    @property
    def scores(self) -> Dict[str, float]:
        """What the paper has of SCORES, as far as it is whole."""
        known = [(name, self.paper.get(name, LOST)) for name in SCORES]
        return {name: figure for name, figure in known if not isinstance(figure, str)}


@dataclass(frozen=True)
class Table:
    """A table: its `columns` by name, "IoU of CLASS" those of classes; `transposed`, its methods stand side by side."""

    name: str
    title: str
    about: str
    notes: str
    columns: Tuple[str, ...]
    rows: Tuple[Row, ...]
    transposed: bool = False


def class_column(name: str) -> str:
    """The column of a class's IoU."""
    return f"IoU of {name}"


@functools.lru_cache(maxsize=None)
def read_table(name: str) -> Table:
    """A table, such as "table1"."""
    data = read_yaml(os.path.join(FOLDER, f"{name}.yaml"))
    classes = tuple(map(class_column, data.get("classes", ())))
    rows = []
    for row in data["rows"]:
        figures = dict(row.get("paper", {}))
        ious = figures.pop("class_iou", ())
        figures.update(zip(classes, [LOST] * len(classes) if ious == LOST else ious))
        rows.append(Row(**{**row, "tests": tuple(row.get("tests", ())), "paper": figures}))
    speeds = {row.network: float(row.paper["speed"]) for row in rows if "speed" in row.paper}
    for row in rows:
        if "speed" in row.paper:
            row.paper["speed_ratio"] = round(speeds[row.network] / speeds[data["reference"]], 2)
    return Table(name, data["title"], " ".join(data["about"].split()), " ".join(data.get("notes", "").split()),
                 (*classes, *data["columns"]), tuple(rows), data.get("transposed", False))


def scores_of_test(recipe: str, item: str, step: str) -> Dict[str, float]:
    """What the paper has of the test of a recipe's step, of an item of its `for`; {} where it has nothing."""
    for row in (row for table in TABLES for row in read_table(table).rows if row.scores):
        for test in row.tests:
            if (test.get("recipe"), test.get("only", item), test.get("step", step)) == (recipe, item, step):
                return row.scores
    return {}


def published(table: str, group: str = "") -> Dict[Tuple[str, Optional[str]], Dict[str, float]]:
    """{(network, head): {score: percent}} of a table's rows, or of those of a part of it."""
    found: Dict[Tuple[str, Optional[str]], Dict[str, float]] = {}
    for row in read_table(table).rows:
        if row.network and row.group == group and row.scores:
            found.setdefault((row.network, row.head), row.scores)
    return found
