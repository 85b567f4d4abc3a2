"""The pages: their blocks are filled from what is kept in docs/results."""
import glob
import os
import re
import shlex
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp.cli import UsageError, table
from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.files import Values, read_json, read_text, write_text
from ademxapp.flags import Settings, flag
from ademxapp.paper import read_table
from ademxapp.training.progress import read_reports

from ..benchmarks.comparison import as_text
from ..reporting.paths import draw_paths, summary_table
from . import measurements, miniature, paper_tables
from .recipes import read_recipe
from .steps import TRAININGS, kept_name

BLOCK = re.compile(r"(<!-- (table|value|figure): ([^>]*) -->)(.*?)(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")
PLACE = re.compile(r'[" (=]/(work|home|root|tmp|usr|mnt)/')  # of some machine
RESULTS = "docs/results"  # results are named by their place below it, without .json
MEASUREMENTS = ("reading", "scores", "training", "dtypes", "step", "networks")
PLAIN = "float32"
FIGURE4 = f"{RESULTS}/figure4/figure4.json"


@dataclass(frozen=True)
class Pages(Settings):
    """Fill the blocks of the pages from what is kept in docs/results.

        python tools/reproduce.py pages
        python tools/reproduce.py pages --check

    People write the pages, README.md and docs/. A table stands between `<!-- table: NAME ARGUMENTS -->` and
    `<!-- end -->`, a number in a sentence between `<!-- value: NAME ARGUMENTS -->` and the same end;
    `<!-- figure: NAME FILE … -->` names a picture, which --figures draws anew. --check changes nothing: it tells what
    is not as the kept results say, and which links lead nowhere.
    """

    pages: Sequence[str] = flag("(default: README.md, and all in docs)", positional=True, nargs="*", metavar="FILE")
    check: bool = flag("only tell what is not as it should be", False)
    figures: bool = flag("draw the figures too", False)

    def execute(self) -> int:
        """Fill or check the pages; 1 if the check finds something, else 0."""
        wrong = []
        for path in self.pages or ["README.md", *sorted(glob.glob("docs/**/*.md", recursive=True))]:
            before = read_text(path)
            after = BLOCK.sub(partial(filled, path=path, figures=self.figures), before)
            if self.check:
                wrong += [f"{path}: {old[3]}: is not what the kept results say: python tools/reproduce.py pages fills "
                          "it" for old, new in zip(BLOCK.finditer(before), BLOCK.finditer(after)) if old[0] != new[0]]
                wrong += [f"{path}: {link} leads nowhere" for link in LINK.findall(before)
                          if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(path), link))]
                wrong += [f"{path} has the place of a machine: {place[0]}" for place in PLACE.finditer(before)]
            elif after != before:
                write_text(path, after)
        print("".join(f"{line}\n" for line in wrong), end="", file=sys.stderr)
        return int(bool(wrong))


def filled(found: "re.Match[str]", path: str, figures: bool) -> str:
    """A block with what belongs into it."""
    mark, kind, words, _, end = found.groups()
    name, *arguments = shlex.split(words)
    known = FIGURES if kind == "figure" else BLOCKS
    if name not in known:
        raise ValueError(f"{path}: there is no {kind} {name}: there are {', '.join(known)}")
    if kind == "figure":
        if figures:
            FIGURES[name](os.path.join(os.path.dirname(path), arguments[0]), *arguments[1:])
        return found[0]
    text = BLOCKS[name](*arguments)
    return f"{mark}{text}{end}" if kind == "value" else f"{mark}\n\n{text}\n\n{end}"


# The blocks: functions that are called with the words behind their names in a mark, and give Markdown


def result(name: str) -> Values:
    """What is kept under a name."""
    return read_json(os.path.join(RESULTS, f"{name}.json"))


def results_of(recipe: str) -> List[Tuple[str, Values]]:
    """(step's name, result) of the tests of a recipe."""
    found = read_recipe(f"recipes/{recipe}.yaml")
    return [(step.name, read_json(os.path.join(found.keep, f"{kept_name(step)}.json")))
            for step in found.steps if step.is_test]


def commands(recipe: str, only: str = "") -> str:
    """The commands of a recipe, or of an item of it."""
    found = read_recipe(f"recipes/{recipe}.yaml", [only] if only else None)
    return "\n".join(["```", *(f"# {step.name}\npython {' '.join(step.at('$ADEMXAPP_DATA', found.output).words())}"
                               for step in found.steps), "```"])


def text(name: str) -> str:
    """The first part of a text file, as it was printed."""
    return "\n".join(["```", read_text(os.path.join(RESULTS, name)).split("\n\npictures")[0], "```"])


def score(name: str, key: str, digits: str = "2") -> str:
    """A score of a result, in percent; top1 and top5 are accuracies, "IoU of CLASS" those of classes."""
    found = paper_tables.scores_in(result(name))
    value = 100 - found[f"{key}_error"] if key in ("top1", "top5") else found[key]
    return f"{value:.{digits}f}"


def mean_loss(name: str, epoch: str) -> str:
    """The mean of a training's reports in an epoch, of the .jsonl that is kept under a name."""
    found = [report["loss"] for report in read_reports(os.path.join(RESULTS, name)) if report["epoch"] == int(epoch)]
    return f"{statistics.mean(found):.2f}"


def minutes(name: str, *labels: str) -> str:
    """Minutes by the clock of trainings, together."""
    found = result(f"{name}/{TRAININGS}")
    return f"{sum(found[label]['clock'] for label in labels):.0f}"


def row_score(rows: str, name: str, key: str) -> str:
    """A score of the last test of a row that is kept, in percent."""
    return f"{result(rows)[name]['values']['tests'][-1][key]:.2f}"


def constant(name: str, key: str) -> str:
    """The score of predicting the most frequent class everywhere, in percent."""
    scores = most_frequent_class_scores(np.array(result(name)["confusion"]))
    return f"{scores[('pixel_acc', 'mean_iou').index(key)]:.2f}"


def classes(name: str) -> str:
    """IoU and accuracy of every class of a test, in percent."""
    found = result(name)
    return class_table(paper_tables.class_names(found), {"IoU": found["class_iou"], "accuracy": found["class_acc"]})


def classes_of(recipe: str) -> str:
    """IoU of every class in the tests of a recipe, in percent."""
    tests = results_of(recipe)
    return class_table(paper_tables.class_names(tests[0][1]), {name: found["class_iou"] for name, found in tests})


def ceiling(name: str) -> str:
    """What `report.py ceiling` found: IoU of every class at every scale, in percent."""
    found = result(name)
    return class_table([*found["classes"], "mean"], {f"{scale} pixels": [*one["class_iou"], one["mean_iou"]]
                                                     for scale, one in found["scales"].items()})


def class_table(names: Iterable[str], columns: Dict[str, List[Optional[float]]]) -> str:
    """Percentages of classes."""
    return table(("class", *columns), [(name, *("–" if value is None else f"{value:.1f}" for value in values))
                                       for name, *values in zip(names, *columns.values())], True)


def comparison(recipe: str) -> str:
    """The tests of a recipe: scores, what they add to the first, and time, of which the CRF's on the processors."""
    tests, rows = results_of(recipe), []
    for name, found in tests:
        used, images = found["cpu_seconds"] + found["crf_cpu_seconds"], found["images"]
        rows.append((name, f"{found['mean_iou']:.2f}", f"{found['mean_iou'] - tests[0][1]['mean_iou']:+.2f}",
                     f"{found['pixel_acc']:.2f}", f"{found['seconds'] / images:.2f}", f"{used / images:.2f}",
                     f"{found['crf_cpu_seconds'] / images:.2f}",
                     f"{found['seconds'] / (used / found['processors']):.2f}"))
    return table(("test", "mean IoU, %", "more than the first", "pixel accuracy, %", "seconds per image",
                  "of processors", "of these the CRF's", "clock over processors' share"), rows, True)


def search(name: str) -> str:
    """The settings of a search, the best last."""
    rows = result(name)["results"]
    names = list(next(row["crf"] for row in rows if row["crf"]))
    return table(("mean IoU, %", "pixel accuracy, %", *(name.replace("_", " ") for name in names)), [
        (f"{row['mean_iou']:.2f}", f"{row['pixel_acc']:.2f}",
         *(f"{row['crf'][name]:g}" if row["crf"] else "no CRF" for name in names)) for row in rows], True)


def types(recipe: str) -> str:
    """A recipe's tests in several types, those of a network behind that in float32: what they lose, and their speed."""
    rows, plain = [], None
    for _, found in results_of(recipe):
        dtype, speed = found["arguments"]["dtype"] or PLAIN, found["images_per_second"]
        plain = found if dtype == PLAIN else plain
        if plain is None or plain["weights"] != found["weights"]:
            raise ValueError(f"the test of {found['weights']} in {dtype} does not follow one in {PLAIN}")
        (name, value), (_, whole) = main_score(found), main_score(plain)
        rows.append((found["label"], dtype, f"{name} {value:.2f}", f"{whole - value:.2f}", found["images"],
                     f"{speed:.3g}", f"{speed / plain['images_per_second']:.2f}"))
    return table(("network", "computed in", "score, %", "less than float32, points", "images", "images/s",
                  "times float32's"), rows, True)


def main_score(found: Values) -> Tuple[str, float]:
    """A test's main score: percent, more is better."""
    return ("top-1", 100 - found["top1_error"]) if "top1_error" in found else ("mean IoU", found["mean_iou"])


def measured(names: Sequence[str]) -> Dict[str, Values]:
    """What is kept of measurements, as far as they were made."""
    found = ((name, measurements.kept_speeds(name)) for name in names or MEASUREMENTS)
    return {name: kept for name, kept in found if kept}


def speed(*names: str) -> str:
    """The comparisons of measurements, with their remarks."""
    return as_text([item for found in measured(names).values() for item in found["found"]], True)


def speed_ratio(name: str, what: str) -> str:
    """The ratio of the comparison of a measurement that has a text in its name."""
    return next(f"{item['ratio']:.2f}" for item in result(f"speed/{name}")["found"] if what in item["what"])


def machines() -> str:
    """What the speeds are of, with the names of the measurements."""
    found = {name: kept["machine"] for name, kept in measured(()).items()}
    return "; ".join(f"{machine} ({', '.join(name for name in found if found[name] == machine)})"
                     for machine in dict.fromkeys(found.values()))


def memory_spread() -> str:
    """How far, in percent, the ratio of planned memory to that of Table 2 is at most from its mean."""
    rows = [row for row in read_table("table2").rows if "memory" in row.paper]
    ratios = [measurements.counts_of(row)[0]["memory_ratio"] for row in rows]
    return f"{100 * max(abs(ratio / statistics.mean(ratios) - 1) for ratio in ratios):.1f}"


def mebibytes(label: str, images: str, crop: str, head: str, recompute: str = "") -> str:
    """Planned bytes of the maps in training, in MiB: without parameters."""
    found = measurements.counted(label, int(images), int(crop), head, recompute=bool(recompute))
    return f"{(found['memory'] - 12 * found['parameters']) // 2 ** 20:,}"


def mini_score(network: str, head: str, key: str) -> str:
    """The mean of a score of the miniature, in percent; top1 is an accuracy. A `head` of none is for Table 1's."""
    one = next(one for one in miniature.networks_of("1" if head == "none" else "2")
               if (one.name, one.head or "none") == (network, head))
    return f"{100 - one.mean('top1_error') if key == 'top1' else one.mean(key):.2f}"


def figure4() -> str:
    """The block of Figure 4: a line for every network that is kept."""
    return summary_table(read_json(FIGURE4)["networks"], markdown=True)


BLOCKS: Dict[str, Callable[..., str]] = {
    "commands": commands, "text": text, "score": score, "mean-loss": mean_loss, "row-score": row_score,
    "minutes": minutes, "constant": constant, "classes": classes, "classes-of": classes_of, "ceiling": ceiling,
    "comparison": comparison, "search": search, "types": types, "speed": speed, "speed-ratio": speed_ratio,
    "machines": machines, "memory-spread": memory_spread, "mebibytes": mebibytes, "paper": paper_tables.page,
    "full-scale": measurements.full_scale, "miniature": miniature.block, "miniature-claims": miniature.claims,
    "miniature-times": miniature.times, "miniature-score": mini_score, "figure4": figure4}
FIGURES: Dict[str, Callable[..., None]] = {
    "miniature-costs": miniature.draw_costs, "miniature-curves": miniature.draw_curves,
    "figure4": lambda path: draw_paths(read_json(FIGURE4)["networks"], path)}


@dataclass(frozen=True)
class Show(Settings):
    """Print a block."""

    name: str = flag(", ".join(sorted(BLOCKS)), positional=True, choices=sorted(BLOCKS), metavar="NAME")
    arguments: Sequence[str] = flag("as in the pages' marks, such as 1 or 2 for miniature, peak=19.5 for full-scale",
                                    positional=True, nargs="*", metavar="ARGUMENT")

    def execute(self) -> int:
        """Print the block."""
        try:
            print(BLOCKS[self.name](*self.arguments))
        except TypeError as error:
            raise UsageError(f"show {self.name}: {error}") from None
        return 0
