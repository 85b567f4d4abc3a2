"""The paper's tables and figures of pictures: what the paper has, what there is here, and what the rest needs."""
import json
import os
import shlex
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ademxapp.cli import TABLES, emit, make_parser, number, paragraphs, table
from ademxapp.driver import read_result
from ademxapp.files import read_json, read_yaml
from ademxapp.flags import flag
from ademxapp.paper import COLUMNS, FOLDER, SCORES, Column, Figure, Row, Table, class_column, read_table
from ademxapp.symbol import parse_label
from iclass.ilsvrc import ClassificationSettings
from issegm.datasets import dataset_record
from issegm.settings import SegmentationSettings

from .. import report
from ..msctest import AveragingSettings
from ..submit import ENTRIES
from .measurements import card_of, counts_of, speeds_of
from .recipes import Step, in_output, read_recipe
from .steps import DONE, Data, record_of, state_of

PROGRAMS = {"iclass/ilsvrc.py": ClassificationSettings, "issegm/voc.py": SegmentationSettings,
            "tools/msctest.py": AveragingSettings}  # that test
FILLED = ("model", "dataset", "test_scales", "batch_images", "head")  # by the drivers, where they are not given


class Tested(NamedTuple):
    """What there is of a test."""

    step: Step  # in its place
    scores: Optional[Dict[str, float]]  # {column: percent}
    lacks: Dict[str, str]  # what has to be there: how it comes there
    how: str  # what makes the scores


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
    entry, answer = folder + ENTRIES[parse_label(os.path.basename(folder)).dataset][0], f"{folder}_answer.json"
    server = (f"the labels are with the benchmark's server alone: `python tools/submit.py {folder}` makes the entry "
              f"for it; what it answers goes into `{answer}`, such as {{\"mean_iou\": 80.1}}")
    return Tested(step, read_answer(answer, entry), {entry: server},
                  f"{how}, scored by the benchmark's server (`{answer}`)")


def is_made(step: Step, output: str) -> bool:
    """Whether a test was made, by its step or, with its arguments, by hand."""
    if state_of(step, output) != DONE:
        return False
    if os.path.exists(record_of(step, output)):
        return True
    words = step.words()
    kind = PROGRAMS[words[0]]
    asked = kind.from_args(make_parser("", kind).parse_args(words[1:])).arguments()
    found = read_result(step.makes)["arguments"]
    return all((found.get(name) or None) == (value or None) for name, value in asked.items()
               if name not in ("data_root", "dataset_file", "weights") and not (
                   value is None and (name in FILLED or name.startswith("crf_"))))


def class_names(result: Mapping[str, Any]) -> Tuple[str, ...]:
    """Of a segmentation test's result."""
    arguments = result["arguments"]
    return dataset_record(arguments["dataset"], len(result["class_iou"]), arguments.get("dataset_file")).class_names


def scores_in(result: Mapping[str, Any]) -> Dict[str, float]:
    """The scores of a result, {column: percent}."""
    scores = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    if result.get("class_iou"):
        scores.update(zip(map(class_column, class_names(result)), result["class_iou"]))
    return scores


def read_answer(path: str, entry: str) -> Optional[Dict[str, float]]:
    """What the server answered to an entry as it is now; ValueError where these are no percentages of columns."""
    if not os.path.exists(path) or not os.path.exists(entry) or os.path.getmtime(path) < os.path.getmtime(entry):
        return None
    label = parse_label(path)
    known = [*SCORES, *map(class_column, dataset_record(label.dataset, label.classes).class_names)]
    try:
        answer = read_json(path)
        wrong = [name for name, value in answer.items() if name not in known or isinstance(value, bool)
                 or not isinstance(value, (int, float)) or not 0 <= value <= 100]
    except (ValueError, AttributeError):
        raise ValueError(f"{path} is no answer: wanted percentages, such as {{\"mean_iou\": 80.1}}") from None
    if wrong:
        raise ValueError(f"{path}: {wrong[0]!r}: {answer[wrong[0]]!r}: wanted percentages of {', '.join(known[:7])}, …")
    return answer


@dataclass
class Line:
    """A row, what there is of it here ({column: value}), what is lacking ({place: how it comes there}), and how."""

    method: str
    group: str
    paper: Dict[str, Figure]
    here: Dict[str, float] = field(default_factory=dict)
    needs: Dict[str, str] = field(default_factory=dict)
    how: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Made(Data):
    """Where the runs of the recipes are."""

    output: str = flag("folder of the recipes' runs", "output", metavar="DIR")


@dataclass(frozen=True)
class PaperTable(Made):
    """One of the paper's tables: what the paper has, what there is here, and what the rest needs.

    Nothing is run: for each row that lacks something the `reproduce.py run` is named that tests, or trains and tests,
    it. Speeds are those of `python tools/bench.py all --only networks` and, on a card, of `make bench-card`. Tables 1
    and 2 in miniature: `python tools/reproduce.py show miniature 1`, `… 2`. What a benchmark's server answers to the
    entry <folder>.tgz goes into <folder>_answer.json, for instance {"mean_iou": 82.5, "IoU of aeroplane": 94.4}:
    percentages of columns of the paper's tables.
    """

    format: Optional[str] = flag("(default: as --out ends, or a table for the terminal)", choices=TABLES)
    out: Optional[str] = flag("write there (.md, .json) instead of printing", metavar="FILE")

    def execute(self, name: str) -> int:
        """Print or write the table; as text, with what it needs, and how the values were obtained."""
        described = read_table(name)
        lines = [line_of(row, described.columns, self.folder("data"), self.output) for row in described.rows]
        form = self.format or {"md": "markdown", "json": "json"}.get((self.out or "").rpartition(".")[2], "table")
        if form == "json":
            emit(json.dumps({"table": name, "title": described.title, "rows": list(map(asdict, lines))}, indent=1)
                 + "\n", self.out)
            return 0
        said: Dict[str, List[str]] = {}
        for line in lines:
            for text in (*(f"needs `{place}`: {how}" for place, how in line.needs.items()), *line.how):
                said.setdefault(text, []).append(line.method)
        many = max(3, len(lines) // 3)
        notes = [f"{f'{len(rows)} rows' if len(rows) > many else '; '.join(rows).rstrip('.')}: {text}."
                 for text, rows in said.items()]
        grid = grid_text(described, lines, form == "markdown")
        emit(paragraphs(described.title, grid, described.notes, *notes), self.out)
        return 0


@dataclass(frozen=True)
class Sheets(Made):
    """The sheets of Figures 5 to 11: image, truth, prediction and difference of a segmentation test's images.

        python tools/reproduce.py figures5-11 --data data
        python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030 --out-dir sheets

    Each figure is of its recipe's test, or of that of the released weights, once it has been made; which `reproduce.py
    run` makes it is told. With --run, two sheets of any test: results.png, from the worst image to the best, and
    failures.png, the worst. Differences: grey is right, black wrong, white does not count. Figure 4 stands in its page:
    `report.py paths` measures it.
    """

    run: Optional[str] = flag("folder of a segmentation test, of which to make sheets instead", metavar="DIR")
    out_dir: Optional[str] = flag("where the sheets go (default: tables in --output)", metavar="DIR")
    images: int = flag("images of a sheet", 6, type=number(int, 1), metavar="N")

    def execute(self) -> int:
        """Make the sheets that can be made, and tell what the others need."""
        def sheet(test: str, name: str, pick: str) -> None:
            folder = self.out_dir or os.path.join(self.output, "tables")
            report.main(["sheet", test, "--out", os.path.join(folder, name), "--pick", pick, f"--images={self.images}"])

        if self.run:
            sheet(self.run, "results.png", "spread")
            sheet(self.run, "failures.png", "worst")
            return 0
        for figure in read_yaml(os.path.join(FOLDER, "figures5-11.yaml"))["figures"]:
            found = scores_of(figure["tests"], self.folder("data"), self.output)
            if found.scores is None:
                needs = "; ".join(f"{place} ({how})" for place, how in found.lacks.items())
                print(f"Figure {figure['figure']} ({figure['about']}) needs {needs}")
            else:
                sheet(os.path.dirname(found.step.makes), f"figure{figure['figure']}.png", figure["pick"])
        return 0


def line_of(row: Row, columns: Sequence[str], data: Optional[str] = None, root: str = "") -> Line:
    """What there is of a row in the columns; without `data`, of what needs no dataset."""
    line = Line(row.method, row.group, row.paper)
    counts = row.network and {"depth", "memory"} & set(columns)
    known = [of(row) for of in (counts_of, speeds_of, card_of)] if counts else []
    if data and row.tests:
        found = scores_of(row.tests, data, root)
        known.append((found.scores or {}, found.how))
        line.needs = found.lacks
    for values, how in known:
        here = {name: value for name, value in values.items() if name in columns}
        line.here.update(here)
        line.how += [how] * bool(here)
    return line


def page(name: str) -> str:
    """The block of a paper's table: the paper's figures, and what is known here without any dataset."""
    described = read_table(name)
    return grid_text(described, [line_of(row, described.columns) for row in described.rows], True)


def grid_text(described: Table, lines: Sequence[Line], markdown: bool) -> str:
    """A table's text; a column that only the paper, or only this page, has figures of stands once."""
    grid = [["method", *(f"{line.method}{f' ({line.group})' if line.group else ''}" for line in lines)]]
    for name in described.columns:
        column = COLUMNS.get(name) or Column(name.replace("IoU of ", ""), 1)
        figures = [line.paper[name] for line in lines if name in line.paper]
        here = any(name in line.here for line in lines)
        if figures:
            digits = max(len(str(figure).partition(".")[2]) for figure in figures)
            shown = [line.paper.get(name, "–") for line in lines]
            grid.append([f"{column.title}{': paper' * here}", *(
                f"{one:.{digits}f}" if column.even and not isinstance(one, str) else str(one) for one in shown)])
        if here:
            grid.append([f"{column.title}{': here' * bool(figures)}", *(
                f"{line.here[name] / column.unit:,.{column.digits}f}" if name in line.here else "–" for line in lines)])
    titles, *rows = grid if described.transposed else zip(*grid)
    return table(titles, rows, markdown)
