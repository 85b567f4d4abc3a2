"""One of the paper's tables: what the paper has, what there is here, and what the rest needs.

Nothing is run: for each row that lacks something the `reproduce.py run` is named that tests, or trains and tests, it.
Speeds are those of `python tools/bench.py all --only networks` and, on a card, of `make bench-card`. Tables 1 and 2 in
miniature: `python tools/reproduce.py show miniature 1`, `… 2`.
"""
import json
from dataclasses import dataclass, field
from functools import partial
from typing import Dict, List, Optional, Sequence, Tuple

from ademxapp.cli import Parser
from ademxapp.paper import COLUMNS, LOST, Column, Figure, Row, Table, read_table
from ademxapp.text_tables import FORMATS, emit, paragraphs, table

from .measurements import card_of, counts_of, speeds_of
from .steps import add_data_argument
from .tested import scores_of


@dataclass
class Line:
    """A row with what there is of it here ({column: value}), what is lacking ({place: how it comes there}), and how."""

    row: Row
    here: Dict[str, float]
    needs: Dict[str, str] = field(default_factory=dict)
    how: Tuple[str, ...] = ()


def add_arguments(parser: Parser) -> None:
    """Add the arguments of the tables' commands."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.add_argument("--output", default="output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--format", choices=FORMATS, help="(default: as --out ends, or a table for the terminal)")
    parser.add_argument("--out", metavar="FILE", help="write there (.md, .json) instead of printing")


def run(command: str, data: Optional[str], output: str, format: Optional[str], out: Optional[str]) -> int:
    """Print or write the table."""
    described = read_table(command)
    lines = [line_of(row, described, data or "data", output) for row in described.rows]
    form = format or {"md": "markdown", "json": "json"}.get((out or "").rpartition(".")[2], "table")
    emit(as_json(described, lines) if form == "json" else as_text(described, lines, form == "markdown"), out)
    return 0


def line_of(row: Row, described: Table, data: str, root: str) -> Line:
    """What there is of a row."""
    line, found = counted_line(row, described), scores_of(row.tests, data, root) if row.tests else None
    if not found:
        return line
    scores = {name: value for name, value in (found.scores or {}).items() if name in described.columns}
    return Line(row, {**line.here, **scores}, found.lacks, (*line.how, found.how) if scores else line.how)


def counted_line(row: Row, described: Table) -> Line:
    """What there is of a row without any dataset."""
    here, how = {}, []
    for of in (counts_of, speeds_of, card_of) if row.network and {"depth", "memory"} & set(described.columns) else ():
        values, text = of(row)
        here.update({name: value for name, value in values.items() if name in described.columns})
        how += [text] if set(values) & set(described.columns) else []
    return Line(row, here, how=tuple(how))


def page(name: str) -> str:
    """The block of a paper's table: the paper's figures, and what is known here without any dataset."""
    described = read_table(name)
    return grid_text(described, [counted_line(row, described) for row in described.rows], True)


def as_json(described: Table, lines: Sequence[Line]) -> str:
    """All that is known."""
    return json.dumps({"table": described.name, "title": described.title, "rows": [
        {"method": line.row.method, "group": line.row.group, "paper": line.row.paper, "here": line.here,
         "needs": line.needs, "how": line.how} for line in lines]}, indent=1) + "\n"


def as_text(described: Table, lines: Sequence[Line], markdown: bool) -> str:
    """The table, what it needs, and how the values were obtained."""
    said: Dict[str, List[str]] = {}
    for line in lines:
        for text in (*(f"needs `{place}`: {how}" for place, how in line.needs.items()), *line.how):
            said.setdefault(text, []).append(line.row.method)
    return paragraphs(described.title, grid_text(described, lines, markdown), described.notes,
                      *(f"{everything(rows, lines)}: {text}." for text, rows in said.items()))


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
