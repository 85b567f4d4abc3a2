"""Tables for the terminal, as Markdown, as JSON."""
import json
from dataclasses import asdict
from functools import partial

from ademxapp.text_tables import table
from tools.reproducing.cells import MEASURED, PAPER_ONLY, cell_text, decimals, paper_text
from tools.reproducing.tables import columns_of


def as_json(described, cells):
    """All that is known: `cells` is a list of {column: Cell}, a row's each."""
    return json.dumps({"table": described.name, "title": described.title, "rows": [
        {"method": row.method, **({"group": row.group} if row.group else {}),
         "cells": {name: {key: value for key, value in asdict(cell).items() if value not in (None, (), "")}
                   for name, cell in of_row.items()}}
        for row, of_row in zip(described.rows, cells)]}, indent=1) + "\n"


def as_text(described, cells, command, markdown):
    """A page: what the table is, the table, what cells need, how the values were obtained."""
    heading = "## {}" if markdown else "{}:"
    parts = [f"# {described.title}" if markdown else described.title]
    if markdown:
        parts += [described.about, f"Made by `{command}`. Beside the paper's figures, in the columns marked *here*, "
                  "each cell is a number that was measured here, *paper only* (nothing is to be measured), or *needs* "
                  "and what is missing."]
    parts.append(table(*transposed(*grid(described, cells), described), markdown))
    parts += [described.notes] if markdown and described.notes else []
    for title, lines_of in (("Needed", needed), ("How it was measured", obtained)):
        lines = lines_of(described, cells)
        if lines:
            parts += [heading.format(title), "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def grid(described, cells):
    """Column titles, and the rows' texts; a column that only one side has figures of stands once."""
    titles, readers = ["method"], []
    for name, column in columns_of(described.columns).items():
        figures = [of_row[name].paper for of_row in cells if of_row[name].paper is not None]
        here = any(of_row[name].state != PAPER_ONLY for of_row in cells)
        if figures:
            titles.append(column.title if not here else f"{column.title}: paper")
            digits = max(decimals(figure) for figure in figures)
            readers.append((name, column, partial(paper_text, digits=digits)))
        if here:
            titles.append(f"{column.title}: here" if figures else column.title)
            readers.append((name, column, cell_text))
    rows = [[f"{row.method}{f' ({row.group})' if row.group else ''}"] +
            [text(of_row[name], column) for name, column, text in readers]
            for row, of_row in zip(described.rows, cells)]
    return titles, rows


def transposed(titles, rows, described):
    """The same with its methods beside each other, if the table asks for it; without lines that say nothing."""
    if not described.transposed:
        return titles, rows
    columns = [[titles[0], *(title.partition(":")[0] for title in titles[1::2])]]
    for row in rows:
        paper, here = row[1::2], row[2::2]
        both = set(here) - {PAPER_ONLY, "–"} and set(paper) != {"–"}
        if set(paper) != {"–"}:
            columns.append([f"{row[0]}{': paper' if both else ''}", *paper])
        if set(here) - {PAPER_ONLY, "–"}:
            columns.append([f"{row[0]}{': here' if both else ''}", *here])
    lines = list(zip(*columns))
    return lines[0], lines[1:]


def needed(described, cells):
    """A line for each thing that is missing: where, how it comes there, and for which rows."""
    found = {}
    for row, of_row in zip(described.rows, cells):
        for need in (need for cell in of_row.values() for need in cell.needs):
            found.setdefault((need.what, need.place), (need.how, {}))[1][row.method] = None
    return [f"{what}, `{place}`: {how}. For {everything(list(methods), described.rows)}."
            for (what, place), (how, methods) in found.items()]


def everything(methods, rows):
    """The methods in words."""
    return f"{len(methods)} rows" if len(methods) > max(3, len(rows) // 3) else "; ".join(methods).rstrip(".")


def obtained(described, cells):
    """A line for each way in which values were obtained: of which columns, and of which rows where not of all."""
    found = {}
    for row, of_row in zip(described.rows, cells):
        for name, cell in of_row.items():
            if cell.state == MEASURED:
                columns, methods = found.setdefault(cell.how, ({}, {}))
                columns[columns_of(described.columns)[name].title] = methods[row.method] = None
    return [f"{', '.join(columns) if len(columns) < 6 else 'IoU of the classes and their mean'} of "
            f"{everything(list(methods), described.rows)}: {how}." for how, (columns, methods) in found.items()]
