"""Scores of a row's tests: of the weights that its recipe makes, or of those that the authors released.

What a benchmark's server answers to the entry <folder>.tgz goes into <folder>_answer.json, for instance {"mean_iou":
82.5, "IoU of aeroplane": 94.4}: percentages of columns of the paper's tables.
"""
import importlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ademxapp.driver import read_result
from ademxapp.files import digest
from ademxapp.paper import SCORES, class_column
from ademxapp.symbol import parse_label
from ademxapp.weights.released import BY_FILE
from issegm.datasets import dataset_record
from tools.reproducing.kept import is_known, kept
from tools.reproducing.recipes import Recipe, Setting, Step, in_output, read_recipe
from tools.reproducing.steps import ELSEWHERE
from tools.submit import ENTRIES

FILLED = ("model", "dataset", "test_scales", "batch_images", "head")  # by the drivers, where they are not given


class Places(NamedTuple):
    """The folders of the datasets and of all runs, and the devices that are asked for ({flag: value})."""

    data: str
    root: str = "output"
    devices: Mapping[str, Setting] = {}


@dataclass(frozen=True)
class Test:
    """A test in its place: where what it reads comes from, and what makes its weights."""

    step: Step
    sources: Dict[str, str]
    makes_weights: str

    @property
    def weights(self) -> List[str]:
        """Paths of the networks' files."""
        found = self.step.settings["weights"]
        return found if isinstance(found, list) else [found]

    @property
    def folder(self) -> str:
        """Where its result is."""
        return os.path.dirname(self.step.makes)

    @property
    def entry(self) -> Optional[str]:
        """What tools/submit.py makes of it, where a server has the labels."""
        return self.folder + ENTRIES[parse_label(self.weights[0]).dataset].end \
            if self.step.settings["split"] == "test" else None

    @property
    def reads(self) -> Dict[str, str]:
        """{what it reads: how that comes there}: the dataset, the list, the weights."""
        root, dataset = self.step.settings["data-root"], parse_label(self.weights[0]).dataset
        weights = {path: self.sources.get(path, self.makes_weights) for path in self.weights}
        return {root: self.sources.get(root, "the dataset"),
                self.list: f"`python tools/prepare.py {dataset} --root {root}` writes it", **weights}

    @property
    def list(self) -> str:
        """The list of the split."""
        return os.path.join("data", parse_label(self.weights[0]).dataset, f"{self.step.settings['split']}.lst")

    @cached_property
    def inputs(self) -> Optional[dict]:
        """What its result depends on, or None where some of it is not there."""
        files = (self.list, *self.weights)
        if not all(map(os.path.exists, files)):
            return None
        return {"command": self.step.words(ELSEWHERE), "files": [digest(path) for path in files]}

    @cached_property
    def tested(self) -> Optional[Dict[str, float]]:
        """The scores in its result, {column: percent}; None where that is not there, or of other inputs."""
        return kept_scores(self) if self.inputs else None

    @cached_property
    def scores(self) -> Optional[Dict[str, float]]:
        """The scores; of an entry, those that the server answered."""
        if self.tested is None or not self.entry:
            return self.tested
        return read_answer(self) if os.path.exists(self.entry) else None

    @property
    def needs(self) -> Dict[str, str]:
        """{what is lacking: how it comes there}; nothing where it only has to be run."""
        missing = {} if self.tested is not None else {path: how for path, how in self.reads.items()
                                                      if not os.path.exists(path)}
        if self.entry and (missing or os.path.exists(self.entry) and self.tested is not None):
            missing[self.entry] = ("the labels are with the benchmark's server alone: the same command makes this "
                                   "entry for it, once the rest is there; what it answers to it goes into "
                                   f"`{answer_path(self.entry)}`, such as {{\"mean_iou\": 80.1}}")
        return missing

    @property
    def can_be_made(self) -> bool:
        """Whether only running it is lacking."""
        return self.scores is None and not self.needs

    @property
    def how(self) -> str:
        """How its scores come about."""
        server = f", scored by the benchmark's server (`{answer_path(self.entry)}`)" if self.entry else ""
        weights = f", SHA-256 of the weights {self.inputs['files'][1][:12]}…" if self.inputs else ""
        return f"`python {shlex.join(self.step.words())}`{weights}{server}"


def scores_of(tests: Sequence[Mapping[str, str]], places: Places) -> Test:
    """Of a row's tests one that was made, else one that can be made, else the one that lacks least."""
    found = tests_of(tests, places)
    made = [one for one in found if one.scores is not None] + [one for one in found if one.can_be_made]
    return made[0] if made else min(reversed(found), key=lambda one: len(one.needs))


def tests_of(tests: Sequence[Mapping[str, str]], places: Places) -> List[Test]:
    """A row's tests in their places: that of the recipe, then that of the released weights, if it has them."""
    recipe, output, training = recipe_of(tests[0], places)
    steps = [step for step in recipe.steps if step.is_test and step.name == tests[0].get("step", step.name)]
    if not steps:
        raise ValueError(f"{recipe.path} has no test called {tests[0].get('step')}")
    devices = places.devices or {"cpus": False}
    sources = {in_output(path.format(data=places.data, output=output), places.root): " ".join(how.split())
               for path, how in recipe.needs.items()}
    found = [Test(steps[-1].at(places.data, output, places.root, devices), sources, f"`{training}` makes it")]
    for one in (BY_FILE[test["released"]] for test in tests[1:]):
        stem = os.path.splitext(one.file)[0]
        settings = {**one.settings, "output": places.root, "data-root": places.data + one.settings["data-root"][4:]}
        step = Step(stem, one.program, f"{places.root}/{stem}/result.json", settings)
        scores = ", ".join(f"{name} {value} %" for name, value in one.scores)
        found.append(Test(step.at("", "", places.root, devices), sources, "released by the paper's authors with "
                          f"{scores} (`python tools/weights.py check`); or `{training}` trains the network"))
    return found


def recipe_of(test: Mapping[str, str], places: Places) -> Tuple[Recipe, str, str]:
    """A test's recipe, of its item alone; the folder of its runs; the command that runs it."""
    path, only = f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else []
    recipe = read_recipe(path, only)
    output = in_output(recipe.output, places.root)
    words = [*(["--only", *only] if only else []), "--data", places.data,
             *(["--output", output] if output != recipe.output else [])]
    return recipe, output, shlex.join(["python", "tools/reproduce.py", "run", path, *words])


def kept_scores(test: Test, just_made: bool = False) -> Optional[Dict[str, float]]:
    """The scores in a test's `result.json`, {column: percent}, or None where it is not of the test's inputs.

    A result that `just_made` says is new, or that `reproduce.py run` or a driver wrote of the same, gets its record.
    """
    if not os.path.isfile(test.step.makes):
        return None
    record, name = os.path.join(test.folder, "measured.json"), digest(test.step.makes)[:16]
    if is_known(record, name) and not just_made:
        return kept(record, test.inputs, None, name)
    result = read_result(test.step.makes)
    if just_made or is_of(test, result):
        return kept(record, test.inputs, lambda: scores_in(result), name)
    return None


def is_of(test: Test, result: dict) -> bool:
    """Whether a result has the arguments of a test, and is newer than all that it reads."""
    if any(os.path.getmtime(path) > os.path.getmtime(test.step.makes) for path in (test.list, *test.weights)) \
            or result.get("weights_sha256") not in (None, test.inputs["files"][1:]):
        return False
    words = test.step.words()
    program = importlib.import_module(words[0][:-len(".py")].replace("/", "."))
    asked, found = program.parse(words[1:]).arguments(), result["arguments"]
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


def answer_path(entry: str) -> str:
    """Where the answer to an entry is looked for."""
    return f"{os.path.splitext(entry)[0]}_answer.json"


def read_answer(test: Test) -> Dict[str, float]:
    """What the server answered to a test's entry as it is now; ValueError where these are no percentages of columns."""
    path, label = answer_path(test.entry), parse_label(test.weights[0])
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(test.entry):
        return {}
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


def make(test: Test) -> Test:
    """Run a test, and make the entry that is asked for; what there is of it then. ValueError if one fails."""
    if test.tested is None:
        run(test.step.words())
        kept_scores(test, just_made=True)
    if test.entry:
        run(["tools/submit.py", test.folder])
    return Test(test.step, test.sources, test.makes_weights)


def run(words: Sequence[str]) -> None:
    """Run one of the project's programs; ValueError if it fails, which it has told itself."""
    print(f"python {shlex.join(words)}", file=sys.stderr, flush=True)
    status = subprocess.run([sys.executable, *words]).returncode
    if status:
        raise ValueError(f"python {shlex.join(words)} ended with status {status}: what was measured before is kept")
