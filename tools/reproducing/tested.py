"""Scores of a row's tests, where they have been made: `reproduce.py run` makes them.

What a benchmark's server answers to the entry <folder>.tgz goes into <folder>_answer.json, for instance {"mean_iou":
82.5, "IoU of aeroplane": 94.4}: percentages of columns of the paper's tables.
"""
import importlib
import json
import os
import shlex
from typing import Dict, Mapping, NamedTuple, Optional, Sequence

from ademxapp.driver import read_result
from ademxapp.paper import SCORES, class_column
from ademxapp.symbol import parse_label
from issegm.datasets import dataset_record

from ..submit import ENTRIES
from .recipes import Step, in_output, read_recipe
from .steps import DONE, record_of, state_of

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
