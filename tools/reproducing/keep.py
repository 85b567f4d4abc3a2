"""What the runs of a recipe have left, copied into docs/results for the pages.

    python tools/reproduce.py keep recipes/first-run.yaml
    python tools/reproduce.py keep recipes/miniature.yaml --only f-0 --output output/again --compare

A recipe's `keep` is a folder of results and pictures, or a JSON file of rows, one for each item of `for`: the scores of
its tests and the curves of its trainings. --compare keeps nothing, and tells how many numbers are others.
"""
import hashlib
import itertools
import json
import os
import re
import shutil
from typing import Any, Dict, List, Optional

from ademxapp.cli import Parser, UsageError
from ademxapp.files import Values, kept, without_places, write_json
from ademxapp.paper import SCORES
from ademxapp.training.progress import read_reports

from .recipes import Recipe, Step, read_recipe
from .steps import add_recipe_arguments

COMPARED = (*SCORES, "losses", "accuracies")
TIMES = re.compile(r"trained in (\d+):(\d+):(\d+), (\d+):(\d+):(\d+) of it on the processors")
TRAININGS = "trainings"  # what the times of a folder's trainings are kept under


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py keep`."""
    parser.description = __doc__
    add_recipe_arguments(parser)
    parser.add_argument("--compare", action="store_true", help="tell which numbers are not those that are kept")


def run(recipe: str, output: Optional[str], only: Optional[str], compare: bool) -> int:
    """Keep, or compare: then 1 if a number is another, else 0."""
    found = read_recipe(recipe, only.split(",") if only else None)
    output = output or found.output
    if not found.keep:
        raise UsageError(f"{recipe} has no `keep`, which says where its results go")
    if compare:
        pairs = [(before, now) for name, now in gathered(found, output).items()
                 for before, now in itertools.zip_longest(numbers(read_kept(found, name)), numbers(now))]
        different = sum(before != now for before, now in pairs)
        print(f"{different} of {len(pairs)} numbers are others")
        return int(different > 0)
    for name, values in gathered(found, output).items():
        if found.keep.endswith(".json"):
            kept(found.keep, fingerprint(found, name), lambda values=values: values, name)
        else:
            write_json(os.path.join(found.keep, f"{name}.json"), values)
    for step in found.steps if not found.keep.endswith(".json") else ():
        step = step.at("", output)
        for picture in [f"{step.log}.png"] * bool(step.log) + [step.makes] * step.picture:
            shutil.copy(picture, os.path.join(found.keep, os.path.basename(picture)))
    print(f"kept in {found.keep}: python tools/reproduce.py pages fills the pages")
    return 0


def gathered(recipe: Recipe, output: str) -> Dict[str, Values]:
    """{name: what is kept under it}: of every item, or of every test and search, and the times of all trainings."""
    if recipe.keep.endswith(".json"):
        return {name: row_of(read_recipe(recipe.path, [name]), output) for name in recipe.items}
    steps = [step.at("", output) for step in recipe.steps]
    trainings = {os.path.basename(step.log): minutes_of(step.log) for step in steps if step.log}
    return {**{kept_name(step): portable(read_json(step.makes)) for step in steps if step.makes.endswith(".json")},
            **({TRAININGS: trainings} if trainings else {})}


def kept_name(step: Step) -> str:
    """What a test's or a search's result is kept under: its folder's name."""
    path = os.path.dirname(step.makes) or step.makes
    return os.path.basename(path if step.makes.endswith(("result.json", "search.json")) else step.makes[:-len(".json")])


def read_kept(recipe: Recipe, name: str) -> Values:
    """What is kept under a name; {} where there is nothing, or it is of other commands."""
    if recipe.keep.endswith(".json"):
        return kept(recipe.keep, fingerprint(recipe, name), None, name) or {}
    path = os.path.join(recipe.keep, f"{name}.json")
    return read_json(path) if os.path.exists(path) else {}


def read_json(path: str) -> Any:
    """What a JSON file has."""
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def fingerprint(recipe: Recipe, name: str) -> Values:
    """A digest of an item's commands and of the number of threads."""
    commands = [" ".join(step.words()) for step in read_recipe(recipe.path, [name]).steps]
    return {"commands": hashlib.sha256(json.dumps([commands, recipe.threads]).encode()).hexdigest()[:16]}


def portable(result: Values) -> Values:
    """A result without the places of this machine."""
    inside = {"arguments": without_places(result["arguments"])} if "arguments" in result else {}
    return {**without_places(result), **inside}


def row_of(recipe: Recipe, output: str) -> Values:
    """What the runs of an item have left: tests with their scores, trainings with processor time and curves."""
    steps = [step.at("", output) for step in recipe.steps]
    results = [read_json(step.makes) for step in steps if step.is_test]
    tests = [{"label": result["label"], **{key: result[key] for key in (*SCORES, "images") if key in result}}
             for result in results]
    trainings = [training_record(step.log) for step in steps if step.log]
    seconds = sum(result["images"] / result["images_per_second"] for result in results)
    return {"tests": tests, "trainings": trainings,
            "processor_minutes": round(sum(training["processor_minutes"] for training in trainings), 2),
            "test_minutes": round(seconds / 60, 2), "versions": results[-1]["versions"]}


def training_record(path: str) -> Values:
    """A training's label, minutes of processors, and curve: lists of epochs, losses and accuracies."""
    reports = read_reports(path)
    batches = max(report["batch"] for report in reports)
    return {"label": os.path.basename(path), "processor_minutes": minutes_of(path)["processors"],
            "epochs": [round(report["epoch"] - 1 + report["batch"] / batches, 3) for report in reports],
            "losses": [round(report["loss"], 4) for report in reports],
            "accuracies": [round(report["accuracy"], 4) for report in reports]}


def minutes_of(path: str) -> Dict[str, float]:
    """A training's minutes, by the clock and of processors, as its log says, over all times that it was resumed."""
    with open(f"{path}.log", encoding="utf-8") as log:
        found = [[int(part) for part in one.groups()] for one in TIMES.finditer(log.read())]
    return {what: round(sum(hours * 60 + minutes + seconds / 60 for hours, minutes, seconds in times), 2)
            for what, times in (("clock", [one[:3] for one in found]), ("processors", [one[3:] for one in found]))}


def numbers(values: Values) -> List[float]:
    """The scores, losses and accuracies of a row or a result, in an order."""
    parts = [*values.get("tests", [values]), *values.get("trainings", [])]
    return [number for part in parts for name in sorted(COMPARED) if name in part
            for number in (part[name] if isinstance(part[name], list) else [part[name]])]
