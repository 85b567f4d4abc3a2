"""What the columns of the paper's tables are called here, and what fills them."""
from dataclasses import dataclass
from typing import Dict, Tuple


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


def columns_of(names: Tuple[str, ...]) -> Dict[str, Column]:
    """{name: Column} of a table's columns."""
    return {name: COLUMNS.get(name) or Column(name.replace("IoU of ", ""), "test", 1) for name in names}
