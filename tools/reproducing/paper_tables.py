"""One of the paper's tables: what the paper has, what there is here, and what the rest needs.

Tests are those of the recipes, or the published ones of the weights that the authors released, in models/. Those whose
data and weights are there are run, and kept, row by row: broken off, the same command goes on. Nothing is trained
without --train. Speeds are those of `python tools/bench.py all --only networks`. Tables 1 and 2 in miniature:
`python tools/reproduce.py show miniature 1`, `… 2`.
"""
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ademxapp.cli import Parser
from ademxapp.paper import LOST, Figure, Row, Table, read_table
from ademxapp.settings import Devices
from ademxapp.text_tables import FORMATS, emit, table
from tools.reproducing.measurements import counts_of, speeds_of
from tools.reproducing.steps import add_data_argument, run_steps
from tools.reproducing.tested import Need, Places, make, recipe_of, scores_of


class Column(NamedTuple):
    """A column: its title, and the digits and the unit of the numbers here.

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
    "models": Column("networks", 0)}


@dataclass
class Line:
    """A row with what there is of it here ({column: value}), what is lacking, and how the values came about."""

    row: Row
    here: Dict[str, float]
    needs: Tuple[Need, ...] = ()
    how: Tuple[str, ...] = ()


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the tables' commands."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.add_argument("--output", default="output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--dry-run", action="store_true", help="only tell what can be measured now")
    parser.add_argument("--train", action="store_true", help="train the networks whose weights are missing, where all "
                        "that their recipes need is there")
    parser.add_argument("--format", choices=FORMATS, help="(default: as --out ends, or a table for the terminal)")
    parser.add_argument("--out", metavar="FILE", help="write there (.md, .json) instead of printing")
    Devices.add_to(parser)


def run(command: str, data: Optional[str], output: str, dry_run: bool, train: bool, format: Optional[str],
        out: Optional[str], gpus: Optional[Sequence[int]], cpus: Optional[int]) -> int:
    """Measure what can be, and print or write the table; the exit status of a training that failed, else 0."""
    described, places = read_table(command), Places(data or "data", output, device_settings(gpus, cpus))
    status = train_rows(described, places, dry_run) if train else 0
    if status:
        return status
    lines = [line_of(row, described, places, dry_run) for row in described.rows]
    form = format or {"md": "markdown", "json": "json"}.get((out or "").rpartition(".")[2], "table")
    emit(as_json(described, lines) if form == "json" else as_text(described, lines, form == "markdown"), out)
    return 0


def device_settings(gpus: Optional[Sequence[int]], cpus: Optional[int]) -> Dict[str, str]:
    """The flags of the programs that choose the devices that are asked for."""
    return {"gpus": ",".join(map(str, gpus))} if gpus else {"cpus": str(cpus)} if cpus else {}


def line_of(row: Row, described: Table, places: Places, dry_run: bool) -> Line:
    """What there is of a row, once its test has run where that is possible."""
    line = counted_line(row, described)
    if row.tests:
        found = scores_of(row.tests, places)
        if found.can_be_made and dry_run:
            print(f"can be measured now: {found.how}", file=sys.stderr)
        elif found.can_be_made:
            found = make(found)
        line.here.update({name: value for name, value in (found.values or {}).items() if name in described.columns})
        line.needs, line.how = found.needs, (*line.how, *([found.how] if found.values else []))
    return line


def counted_line(row: Row, described: Table) -> Line:
    """What there is of a row without any dataset."""
    here, how = {}, []
    for of in (counts_of, speeds_of) if row.network and {"depth", "memory"} & set(described.columns) else ():
        values, text = of(row)
        here.update({name: value for name, value in values.items() if name in described.columns})
        how += [text] if set(values) & set(described.columns) else []
    return Line(row, here, how=tuple(how))


def train_rows(described: Table, places: Places, dry_run: bool) -> int:
    """Run the recipes of the rows that have no scores and lack nothing but training; the status of one that fails."""
    for row in described.rows:
        found = scores_of(row.tests, places) if row.tests else None
        if found and found.needs and found.values is None:
            recipe, output, _ = recipe_of(row.tests[0], places)
            needed = [path.format(data=places.data, output=output) for path in recipe.needs]
            missing = [path for path in needed if not os.path.exists(path)]
            if missing:
                print(f"{row.method}: cannot be trained without {missing[0]}", file=sys.stderr)
                continue
            status = run_steps(recipe, places.data, output, dry_run, places.root, places.devices)
            if status:
                return status
    return 0


def page(name: str) -> str:
    """The block of a paper's table: the paper's figures, and what is known here without any dataset."""
    described = read_table(name)
    return grid_text(described, [counted_line(row, described) for row in described.rows], True)


def as_json(described: Table, lines: Sequence[Line]) -> str:
    """All that is known."""
    return json.dumps({"table": described.name, "title": described.title, "rows": [
        {"method": line.row.method, "group": line.row.group, "paper": line.row.paper, "here": line.here,
         "needs": [need._asdict() for need in line.needs], "how": line.how} for line in lines]}, indent=1) + "\n"


def as_text(described: Table, lines: Sequence[Line], markdown: bool) -> str:
    """The table, what it needs, and how the values were obtained."""
    needs: Dict[Need, List[str]] = {}
    how: Dict[str, List[str]] = {}
    for line in lines:
        for found, keys in ((needs, line.needs), (how, line.how)):
            for key in keys:
                found.setdefault(key, []).append(line.row.method)
    parts = [described.title, grid_text(described, lines, markdown), described.notes,
             *(f"needs {need.what}, `{need.place}`: {need.how}. For {everything(rows, lines)}."
               for need, rows in needs.items()),
             *(f"{everything(rows, lines)}: {text}." for text, rows in how.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def everything(methods: Sequence[str], lines: Sequence[Line]) -> str:
    """The methods in words."""
    return f"{len(methods)} rows" if len(methods) > max(3, len(lines) // 3) else "; ".join(methods).rstrip(".")


def grid_text(described: Table, lines: Sequence[Line], markdown: bool) -> str:
    """The table's text; a column that only the paper, or only this page, has figures of stands once."""
    titles, readers = ["method"], []
    for name in described.columns:
        column = COLUMNS.get(name) or Column(name.replace("IoU of ", ""), 1)
        figures = [line.row.paper[name] for line in lines if name in line.row.paper]
        here = any(name in line.here for line in lines)
        if figures:
            titles.append(f"{column.title}{': paper' * here}")
            digits = max(map(decimals, figures)) if column.even else None
            readers.append(partial(paper_text, name=name, digits=digits))
        if here:
            titles.append(f"{column.title}{': here' * bool(figures)}")
            readers.append(partial(here_text, name=name, column=column))
    rows = [[f"{line.row.method}{f' ({line.row.group})' if line.row.group else ''}", *(read(line) for read in readers)]
            for line in lines]
    if described.transposed:
        titles, *rows = zip(*[titles, *rows])
    return table(titles, rows, markdown)


def paper_text(line: Line, name: str, digits: Optional[int]) -> str:
    """The paper's figure; with so many digits behind the point, if they are given."""
    figure = line.row.paper.get(name)
    if figure is None or figure == LOST:
        return figure or "–"
    return f"{figure:.{decimals(figure) if digits is None else digits}f}"


def here_text(line: Line, name: str, column: Column) -> str:
    """The value here."""
    return f"{line.here[name] / column.unit:,.{column.digits}f}" if name in line.here else "–"


def decimals(figure: Figure) -> int:
    """Digits behind the point of a figure of the paper."""
    return len(str(figure).partition(".")[2])
