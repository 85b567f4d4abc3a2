"""A page that compares the tests of a recipe: one table of all of them. Every number is of a file that a run wrote."""
import os

from ademxapp.files import write_text
from issegm.datasets import dataset_record
from tools.results_page import read_copied


def comparison_page(recipe_path, recipe, output, out):
    """Write the page `out` of a recipe's segmentation tests in `output`, and copies of their results beside it.

    Of its stages, those that make a `result.json` are rows of the table, and those that make a `search.json` get a
    table of their own.
    """
    folder = os.path.splitext(out)[0]
    os.makedirs(folder, exist_ok=True)
    stages = [(stage, stage["makes"].format(output=output, data="$ADEMXAPP_DATA")) for stage in recipe["stages"]]
    tests = [(stage["name"], read_copied(path, folder)) for stage, path in stages if path.endswith("result.json")]
    parts = [f"# {recipe['title']}", recipe.get("about", "").strip(), "\n".join(comparison_table(tests)),
             " ".join(recipe.get("notes", "").split()), *crf_times(tests),
             f"All of it is one command: `python tools/reproduce.py run {recipe_path} --data $ADEMXAPP_DATA`. "
             f"This page was made by `python tools/reproduce.py page {recipe_path} --out {out}`.",
             "## Classes", "IoU of every class, percent.", "\n".join(class_table(tests))]
    for stage, path in stages:
        command = " ".join(stage["command"].split()).format(output=output, data="$ADEMXAPP_DATA")
        parts += [f"## {stage['name'][0].upper()}{stage['name'][1:]}", f"```\npython {command}\n```"]
        if path.endswith("search.json"):
            parts.append("\n".join(search_table(read_copied(path, folder))))
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")


def comparison_table(tests):
    """Lines of a table of tests, (name, result) each: scores, what they add to the first, and time."""
    first = tests[0][1]["mean_iou"]
    yield "| test | mean IoU, % | more than the first | pixel accuracy, % | seconds per image | of processors |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, result in tests:
        used = (result["cpu_seconds"] + result["crf_cpu_seconds"]) / result["images"]
        yield (f"| {name} | {result['mean_iou']:.2f} | {result['mean_iou'] - first:+.2f} | {result['pixel_acc']:.2f} | "
               f"{result['seconds'] / result['images']:.2f} | {used:.2f} |")


def crf_times(tests):
    """A sentence for each test with a CRF: how much longer it took than its work on all processors would take."""
    for name, result in tests:
        if result["crf_cpu_seconds"]:
            work = (result["cpu_seconds"] + result["crf_cpu_seconds"]) / result["processors"]
            yield (f"{name[0].upper()}{name[1:]}: {result['cpu_seconds']:.0f} s of processors for network, reading and "
                   f"scores, {result['crf_cpu_seconds']:.0f} s for the CRF; on {result['processors']} processors it "
                   f"took {result['seconds']:.0f} s, {result['seconds'] / work:.2f} times their share.")


def class_table(tests):
    """Lines of a table of the tests' IoU by class."""
    arguments = tests[0][1]["arguments"]
    classes = len(tests[0][1]["class_iou"])
    names = dataset_record(arguments["dataset"], classes, arguments.get("dataset_file")).class_names
    yield "| class | " + " | ".join(name for name, _ in tests) + " |"
    yield "|---|" + "---:|" * len(tests)
    for index, name in enumerate(names):
        values = [result["class_iou"][index] for _, result in tests]
        yield f"| {name} | " + " | ".join("–" if value is None else f"{value:.1f}" for value in values) + " |"


def search_table(search):
    """Lines of a table of a search's settings, the best last."""
    names = [name for name in next(row["crf"] for row in search["results"] if row["crf"])]
    yield "| mean IoU, % | pixel accuracy, % | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---:|---:|" + "---:|" * len(names)
    for row in search["results"]:
        values = [f"{row['crf'][name]:g}" if row["crf"] else "no CRF" for name in names]
        yield f"| {row['mean_iou']:.2f} | {row['pixel_acc']:.2f} | {' | '.join(values)} |"
