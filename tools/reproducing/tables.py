"""The paper's tables as data: the files of recipes/tables, read and checked."""
import os
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ademxapp.yaml_files import read_yaml
from issegm.datasets import DATASETS
from tools.reproducing.recipes import require_types

FOLDER = os.path.join("recipes", "tables")  # as recipes are, from the root of a clone
LOST = "lost"  # of a figure that the text of the paper does not have whole


@dataclass(frozen=True)
class Column:
    """A column: its title, what kind of measurement fills it, and the digits and the unit of the numbers here.

    The paper's figures of an `even` column all have as many digits as the longest, the others as many as they have.
    """

    title: str
    kind: str
    digits: int
    unit: float = 1.0
    even: bool = True


COLUMNS = {
    "depth": Column("depth", "costs", 0),
    "input": Column("tr. input", "costs", 0),
    "parameters": Column("parameters (M)", "costs", 1, 1e6),
    "multiply_adds": Column("multiply-adds (G)", "costs", 1, 1e9),
    "top1_error": Column("top-1 error (%)", "test", 2),
    "top5_error": Column("top-5 error (%)", "test", 2),
    "speed": Column("images/s", "speed", 2, even=False),
    "speed_ratio": Column("speed / ResNet-101's", "speed", 2),
    "pixel_acc": Column("pixel acc. (%)", "test", 2),
    "mean_acc": Column("mean acc. (%)", "test", 2),
    "mean_iou": Column("mean IoU (%)", "test", 2),
    "mean_iou_of_categories": Column("mean IoU of categories (%)", "test", 2),
    "mean_of_pixel_acc_and_mean_iou": Column("mean of pixel acc. and mean IoU (%)", "test", 2),
    "memory": Column("memory (GB)", "memory", 2, even=False),
    "memory_ratio": Column("plan / paper's", "memory", 3),
    "models": Column("networks", "paper", 0),
}
FIELDS = {"method": str, "group": str, "network": str, "head": str, "crops": int, "test": dict, "paper": dict}
TEST_FIELDS = {"recipe": str, "only": str, "stage": str, "released": str}


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes
    ----------
    method, group : str
        What the paper calls it, and the part of the table that it stands in.
    network, head : str, optional
        Whose costs, speed and memory are its; the top for segmentation.
    crops : int
        That one image counts for in the speed.
    test : dict, optional
        What scores it: the recipe, the item of its `for` (only), the stage (by default its last test), and the file of
        released weights that the row is of too (released).
    paper : dict
        {column: figure}, or LOST in place of a figure.
    """

    method: str
    group: str = ""
    network: Optional[str] = None
    head: Optional[str] = None
    crops: int = 1
    test: Optional[dict] = None
    paper: Dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table: `columns` is {name: Column}; where it is `transposed`, its methods are beside each other."""

    name: str
    title: str
    about: str
    notes: str
    columns: Dict[str, Column]
    rows: Tuple[Row, ...]
    transposed: bool = False


def read_table(name):
    """The `Table` of a name such as "table1"; ValueError if its file is none."""
    path = os.path.join(FOLDER, f"{name}.yaml")
    data = read_yaml(path)
    if not isinstance(data, dict) or not {"title", "about", "columns", "rows"} <= set(data):
        raise ValueError(f"{path} is no table: wanted title, about, columns and rows")
    classes = DATASETS[data["classes_of"]].class_names[1:] if "classes_of" in data else ()  # without the background
    columns = {}
    for column in data["columns"]:
        if column == "class_iou":
            columns.update({class_column(one): Column(one, "test", 1) for one in classes})
        elif column in COLUMNS:
            columns[column] = COLUMNS[column]
        else:
            raise ValueError(f"{path}: there is no column {column}; known are class_iou, {', '.join(COLUMNS)}")
    rows = tuple(read_row(row, classes, columns, path) for row in data["rows"])
    return Table(name, data["title"], " ".join(data["about"].split()), " ".join(data.get("notes", "").split()), columns,
                 with_speed_ratios(rows, data.get("reference")), bool(data.get("transposed")))


def class_column(name):
    """The name of the column of a class's IoU."""
    return f"IoU of {name}"


def read_row(data, classes, columns, path):
    """A `Row` of its mapping in the file."""
    where = f"{path}: {str(data.get('method'))[:40]}"
    unknown = set(data) - set(FIELDS) | set(data.get("test", {})) - set(TEST_FIELDS)
    if "method" not in data or unknown:
        raise ValueError(f"{where}: wanted method, and of a row's fields no {min(unknown, default='others')}")
    require_types(data, FIELDS, where)
    require_types(data.get("test", {}), TEST_FIELDS, where)
    paper = dict(data.get("paper", {}))
    ious = paper.pop("class_iou", [])
    ious = [LOST] * len(classes) if ious == LOST else ious
    if ious and len(ious) != len(classes):
        raise ValueError(f"{where}: class_iou has {len(ious)} numbers, wanted {len(classes)}")
    paper.update(zip(map(class_column, classes), ious))
    for column, figure in paper.items():
        if column not in columns or not (figure == LOST or isinstance(figure, (int, float))):
            raise ValueError(f"{where}: paper: {column}: wanted a number, or {LOST}, of a column of the table")
    return Row(**{**data, "paper": paper})


def with_speed_ratios(rows, reference):
    """The rows, with the ratio of the paper's speeds to that of the reference (a network) where there are speeds."""
    speeds = {row.network: row.paper["speed"] for row in rows if "speed" in row.paper}
    for row in rows:
        if "speed" in row.paper:
            row.paper["speed_ratio"] = round(row.paper["speed"] / speeds[reference], 2)
    return rows
