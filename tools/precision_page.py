"""A page of tests of the same networks in several types. Every number is of a file that a run wrote."""
import os

from ademxapp.files import write_text
from tools.results_page import read_copied

PLAIN = "float32"


def precision_page(recipe_path, recipe, output, out):
    """Write the page `out` of a recipe's tests in `output`, and copies of their results beside it.

    The tests of a network follow each other, that in float32 first.
    """
    folder = os.path.splitext(out)[0]
    os.makedirs(folder, exist_ok=True)
    stages = [(stage, stage["makes"].format(output=output, data="$ADEMXAPP_DATA")) for stage in recipe["stages"]]
    tests = [read_copied(path, folder) for _, path in stages]
    commands = [" ".join(stage["command"].split()).format(output=output, data="$ADEMXAPP_DATA") for stage, _ in stages]
    parts = [f"# {recipe['title']}", " ".join(recipe.get("about", "").split()), "\n".join(precision_table(tests)),
             " ".join(recipe.get("notes", "").split()),
             f"All of it is one command: `python tools/reproduce.py run {recipe_path} --data $ADEMXAPP_DATA`. "
             f"This page was made by `python tools/reproduce.py page {recipe_path} --out {out}`.",
             "```\n" + "\n".join(f"python {command}" for command in commands) + "\n```"]
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")


def precision_table(tests):
    """Lines of a table of results: scores, what they lose against float32, and how fast the tests were."""
    yield "| network | computed in | score, % | less than float32, points | images | images/s | times float32's |"
    yield "|---|---|---|---:|---:|---:|---:|"
    plain = None
    for result in tests:
        dtype = result["arguments"]["dtype"] or PLAIN
        plain = result if dtype == PLAIN else plain
        if plain is None or plain["weights"] != result["weights"]:
            raise ValueError(f"the test of {result['weights']} in {dtype} does not follow one in {PLAIN}")
        speed = result["images_per_second"]
        name, value = score(result)
        yield (f"| {result['label']} | {dtype} | {name} {value:.2f} | {score(plain)[1] - value:.2f} | "
               f"{result['images']} | {speed:.3g} | {speed / plain['images_per_second']:.2f} |")


def score(result):
    """A test's main score, (name, value): percent, more is better."""
    if "top1_error" in result:
        return "top-1", 100 - result["top1_error"]
    return "mean IoU", result["mean_iou"]
