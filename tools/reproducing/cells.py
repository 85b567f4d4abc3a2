"""The cells of a table: what the paper has, what there is here, and what a cell lacks."""
from dataclasses import dataclass
from typing import Optional, Tuple, Union

from ademxapp.paper import LOST

MEASURED, PAPER_ONLY, NEEDS = "measured", "paper only", "needs"


@dataclass(frozen=True)
class Need:
    """What a cell lacks: in a word, the place where it is looked for, and how it comes there."""

    what: str
    place: str
    how: str


@dataclass(frozen=True)
class Cell:
    """A cell: its state, the paper's figure, the value here, what it lacks, and how the value was obtained."""

    state: str
    paper: Optional[Union[float, str]] = None
    value: Optional[float] = None
    needs: Tuple[Need, ...] = ()
    how: str = ""


def row_cells(row, columns, measurements):
    """{column: Cell} of a row; `measurements` is {kind: Measurement} of what can be measured of it at all."""
    cells = {}
    for name, column in columns.items():
        paper, found = row.paper.get(name), measurements.get(column.kind)
        if found is None:
            cells[name] = Cell(PAPER_ONLY, paper)
        elif found.values is not None and name in found.values:
            cells[name] = Cell(MEASURED, paper, found.values[name], how=found.how)
        elif found.values is not None and not found.needs:  # a column that its tests know nothing of
            cells[name] = Cell(PAPER_ONLY, paper)
        else:
            cells[name] = Cell(NEEDS, paper, needs=found.needs or (found.itself,))
    return cells


def cell_text(cell, column):
    """What stands in a table for the value here."""
    if cell.state == NEEDS:
        return f"needs {', '.join(dict.fromkeys(need.what for need in cell.needs))}"
    return number_text(cell.value, column) if cell.state == MEASURED else PAPER_ONLY if cell.paper is not None else "–"


def paper_text(cell, column, digits):
    """What stands in a table for the paper's figure; with the column's `digits` in the paper if all have them."""
    if cell.paper is None or cell.paper == LOST:
        return cell.paper or "–"
    return f"{cell.paper:.{digits if column.even else decimals(cell.paper)}f}"


def decimals(figure):
    """Digits behind the point of a figure of the paper."""
    return len(str(figure).partition(".")[2])


def number_text(value, column):
    """A value in its column's unit and digits."""
    return "–" if value is None else f"{value / column.unit:,.{column.digits}f}"
