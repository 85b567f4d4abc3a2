"""One of the paper's tables: what the paper has, what there is here, and what the rest needs.

Nothing is run: for each row that lacks something the `reproduce.py run` is named that tests, or trains and tests, it.
Speeds are those of `python tools/bench.py all --only networks` and, on a card, of `make bench-card`. Tables 1 and 2 in
miniature: `python tools/reproduce.py show miniature 1`, `… 2`. What a benchmark's server answers to the entry
<folder>.tgz goes into <folder>_answer.json, for instance {"mean_iou": 82.5, "IoU of aeroplane": 94.4}: percentages of
columns of the paper's tables.
"""
import importlib
import json
import os
import shlex
from dataclasses import dataclass, field
from functools import partial
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ademxapp.cli import TABLES, Parser, emit, paragraphs, table
from ademxapp.driver import read_result
from ademxapp.paper import COLUMNS, LOST, SCORES, Column, Figure, Row, Table, class_column, read_table
from ademxapp.symbol import parse_label
from issegm.datasets import dataset_record

from ..submit import ENTRIES
from .measurements import card_of, counts_of, speeds_of
from .recipes import Step, in_output, read_recipe
from .steps import DONE, add_data_argument, record_of, state_of

FILLED = ("model", "dataset", "test_scales", "batch_images", "head")  # by the drivers, where they are not given


class Tested(NamedTuple):
    """A test in its place: its scores ({column: percent}) if they are there, what is lacking, and how they came about.

    `lacks` is {what has to be there: how it comes there}; in the end stands what makes the scores.
    """

    step: Step
    scores: Optional[Dict[str, float]]
    lacks: Dict[str, str]
    how: str


def scores_of(tests: Sequence[Mapping[str, str]], data: str, root: str) -> Tested:
    """Of a row's tests one that was made, else the one that lacks least."""
    found = [look(test, data, root) for test in tests]
    return next((one for one in found if one.scores is not None), min(reversed(found), key=lambda one: len(one.lacks)))


def look(test: Mapping[str, str], data: str, root: str) -> Tested:
    """What there is of a test, where the datasets are in the folder `data` and all runs in `root`."""
    path, only = f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else []
    recipe = read_recipe(path, only)
    output = in_output(f"{recipe.output}/", root).rstrip("/")
    step = [step for step in recipe.steps if step.is_test and step.name == test.get("step", step.name)][-1].at(
        data, output, root)
    words = ["python", "tools/reproduce.py", "run", path, *(["--only", *only] if only else []), "--data", data,
             *(["--output", output] if output != recipe.output else [])]
    needs = {in_output(path.format(data=data, output=output), root): how for path, how in recipe.needs.items()}
    lacks = {path: " ".join(how.split()) for path, how in needs.items() if not os.path.exists(path)}
    lacks["a run"], how = f"`{shlex.join(words)}`", f"`python {shlex.join(step.words())}`"
    if not is_made(step, output):
        return Tested(step, None, lacks, how)
    if step.settings["split"] != "test":
        return Tested(step, scores_in(read_result(step.makes)), {}, how)
    folder = os.path.dirname(step.makes)
    entry, answer = folder + ENTRIES[parse_label(os.path.basename(folder)).dataset].end, f"{folder}_answer.json"
    server = (f"the labels are with the benchmark's server alone: `python tools/submit.py {folder}` makes the entry "
              f"for it; what it answers goes into `{answer}`, such as {{\"mean_iou\": 80.1}}")
    return Tested(step, read_answer(answer, entry, step), {entry: server},
                  f"{how}, scored by the benchmark's server (`{answer}`)")


def is_made(step: Step, output: str) -> bool:
    """Whether a test was made, by its step or, with its arguments, by hand."""
    if state_of(step, output) != DONE:
        return False
    if os.path.exists(record_of(step, output)):
        return True
    words = step.words()
    program = importlib.import_module(words[0][:-len(".py")].replace("/", "."))
    asked, found = program.parse(words[1:]).arguments(), read_result(step.makes)["arguments"]
    return all((found.get(name) or None) == (value or None) for name, value in asked.items()
               if name not in ("data_root", "dataset_file", "weights") and not (
                   value is None and (name in FILLED or name.startswith("crf_"))))


def scores_in(result: dict) -> Dict[str, float]:
    """The scores of a result, {column: percent}."""
    scores = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    if result.get("class_iou"):
        arguments = result["arguments"]
        record = dataset_record(arguments["dataset"], len(result["class_iou"]), arguments.get("dataset_file"))
        scores.update(zip(map(class_column, record.class_names), result["class_iou"]))
    return scores


def read_answer(path: str, entry: str, step: Step) -> Optional[Dict[str, float]]:
    """What the server answered to an entry as it is now; ValueError where these are no percentages of columns."""
    if not os.path.exists(path) or not os.path.exists(entry) or os.path.getmtime(path) < os.path.getmtime(entry):
        return None
    label = parse_label(step.makes.split("/")[-2])
    known = [*SCORES, *map(class_column, dataset_record(label.dataset, label.classes).class_names)]
    try:
        with open(path, encoding="utf-8") as source:
            answer = json.load(source)
        wrong = [name for name, value in answer.items() if name not in known or isinstance(value, bool)
                 or not isinstance(value, (int, float)) or not 0 <= value <= 100]
    except (ValueError, AttributeError):
        raise ValueError(f"{path} is no answer: wanted percentages, such as {{\"mean_iou\": 80.1}}") from None
    if wrong:
        raise ValueError(f"{path}: {wrong[0]!r}: {answer[wrong[0]]!r}: wanted percentages of {', '.join(known[:7])}, …")
    return answer


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
    parser.add_argument("--format", choices=TABLES, help="(default: as --out ends, or a table for the terminal)")
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
