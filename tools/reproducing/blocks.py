"""What stands between the marks of the pages: tables, values and figures, of what is kept in docs/results.

A block is called with the words behind its name, and gives Markdown. Results are named by their place below
docs/results, without .json.
"""
import os
import statistics
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from ademxapp.cli import table
from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.files import Values
from ademxapp.paper import class_column, read_table
from ademxapp.training.progress import read_reports
from issegm.datasets import dataset_record

from ..benchmarks.comparison import as_text
from . import figures, full_scale, miniature, paper_tables
from .keep import TRAININGS, kept_name, read_json
from .measurements import counted
from .recipes import read_recipe

RESULTS = "docs/results"
MEASUREMENTS = ("reading", "scores", "training", "dtypes", "step", "networks")
PLAIN = "float32"


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
    lines = [f"# {step.name}\npython {' '.join(step.at('$ADEMXAPP_DATA', found.output).words())}"
             for step in found.steps]
    return "\n".join(["```", *lines, "```"])


def text(name: str) -> str:
    """The first part of a text file, as it was printed."""
    with open(os.path.join(RESULTS, name), encoding="utf-8") as source:
        return "\n".join(["```", source.read().split("\n\npictures")[0], "```"])


def score(name: str, key: str, digits: str = "2") -> str:
    """A score of a result, in percent; top1 and top5 are accuracies."""
    found = result(name)
    value = 100 - found[f"{key}_error"] if key in ("top1", "top5") else found[key]
    return f"{value:.{digits}f}"


def class_score(name: str, class_name: str) -> str:
    """The IoU of a class in a test, in percent."""
    return f"{paper_tables.scores_in(result(name))[class_column(class_name)]:.1f}"


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
    return f"{dict(zip(('pixel_acc', 'mean_iou'), scores))[key]:.2f}"


def classes(name: str) -> str:
    """IoU and accuracy of every class of a test, in percent."""
    found = result(name)
    return class_table(found, {"IoU": found["class_iou"], "accuracy": found["class_acc"]})


def classes_of(recipe: str) -> str:
    """IoU of every class in the tests of a recipe, in percent."""
    tests = dict(results_of(recipe))
    return class_table(next(iter(tests.values())), {name: found["class_iou"] for name, found in tests.items()})


def class_table(found: Values, columns: Dict[str, List[Optional[float]]]) -> str:
    """Percentages of every class of a test."""
    arguments = found["arguments"]
    names = dataset_record(arguments["dataset"], len(found["class_iou"]), arguments.get("dataset_file")).class_names
    return table(("class", *columns), [(name, *("–" if value is None else f"{value:.1f}" for value in values))
                                       for name, *values in zip(names, *columns.values())], True)


def ceiling(name: str) -> str:
    """What `report.py ceiling` found: IoU of every class at every scale, in percent."""
    found = result(name)
    columns = {f"{scale} pixels": [*one["class_iou"], one["mean_iou"]] for scale, one in found["scales"].items()}
    return table(("class", *columns), [(name, *(f"{value:.1f}" for value in values)) for name, *values in zip(
        [*found["classes"], "mean"], *columns.values())], True)


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


def speed(*names: str) -> str:
    """The comparisons of measurements, with their remarks."""
    return as_text([item for name in names or MEASUREMENTS if os.path.exists(f"{RESULTS}/speed/{name}.json")
                    for item in result(f"speed/{name}")["found"]], True)


def speed_ratio(name: str, what: str) -> str:
    """The ratio of the comparison of a measurement that has a text in its name."""
    return next(f"{item['ratio']:.2f}" for item in result(f"speed/{name}")["found"] if what in item["what"])


def machines() -> str:
    """What the speeds are of."""
    return "; ".join(dict.fromkeys(result(f"speed/{name}")["machine"] for name in MEASUREMENTS
                                   if os.path.exists(f"{RESULTS}/speed/{name}.json")))


def memory_spread() -> str:
    """How far, in percent, the ratio of planned memory to that of Table 2 is at most from its mean."""
    ratios = [paper_tables.counted_line(row, read_table("table2")).here["memory_ratio"]
              for row in read_table("table2").rows if "memory" in row.paper]
    mean = statistics.mean(ratios)
    return f"{100 * max(abs(ratio / mean - 1) for ratio in ratios):.1f}"


def mebibytes(label: str, images: str, crop: str, head: str, recompute: str = "") -> str:
    """Planned bytes of the maps in training, in MiB: without parameters."""
    found = counted(label, int(images), int(crop), head, recompute=bool(recompute))
    return f"{(found['memory'] - 12 * found['parameters']) // 2 ** 20:,}"


def mini_score(network: str, head: str, key: str) -> str:
    """The mean of a score of the miniature, in percent; top1 is an accuracy. A `head` of none is for Table 1's."""
    one = next(one for one in miniature.networks_of("1" if head == "none" else "2")
               if (one.name, one.head or "none") == (network, head))
    return f"{100 - one.mean('top1_error') if key == 'top1' else one.mean(key):.2f}"


BLOCKS: Dict[str, Callable[..., str]] = {
    "commands": commands, "text": text, "score": score, "class-score": class_score, "mean-loss": mean_loss,
    "row-score": row_score, "minutes": minutes, "constant": constant, "classes": classes, "classes-of": classes_of,
    "ceiling": ceiling, "comparison": comparison, "search": search, "types": types, "speed": speed,
    "speed-ratio": speed_ratio, "machines": machines, "memory-spread": memory_spread, "mebibytes": mebibytes,
    "paper": paper_tables.page, "full-scale": full_scale.block,
    "miniature": miniature.block, "miniature-claims": miniature.claims, "miniature-times": miniature.times,
    "miniature-score": mini_score, "figure4": figures.figure4}
FIGURES: Dict[str, Callable[..., None]] = {
    "miniature-costs": miniature.draw_costs, "miniature-curves": miniature.draw_curves, "figure4": figures.draw_figure4}
