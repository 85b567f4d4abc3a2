"""Scores of a row's tests: of the weights that its recipe makes, or of those that the authors released."""
import functools
import hashlib
import importlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ademxapp.data.lists import list_task, read_classification_list, read_segmentation_list
from ademxapp.driver import read_result
from ademxapp.files import digest
from ademxapp.paper import class_column
from ademxapp.symbol import parse_label
from ademxapp.weights.released import BY_FILE
from issegm.datasets import dataset_record
from tools.reproducing.kept import is_known, kept
from tools.reproducing.recipes import Recipe, Setting, Step, in_output, read_recipe
from tools.reproducing.servers import answer_path, how_to_answer, read_answer
from tools.reproducing.steps import ELSEWHERE
from tools.submit import ENTRIES

FILLED = ("model", "dataset", "test_scales", "batch_images", "head")  # by the drivers, where they are not given


class Places(NamedTuple):
    """The folders of the datasets and of all runs, and the devices that are asked for ({flag: value})."""

    data: str
    root: str = "output"
    devices: Mapping[str, Setting] = {}


class Need(NamedTuple):
    """What is lacking: in a word, the place where it is looked for, and how it comes there."""

    what: str
    place: str
    how: str


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
    def list(self) -> str:
        """The list of the split."""
        return os.path.join("data", parse_label(self.weights[0]).dataset, f"{self.step.settings['split']}.lst")

    @property
    def folder(self) -> str:
        """Where its result is."""
        return os.path.dirname(self.step.makes)

    @property
    def entry(self) -> Optional[str]:
        """What tools/submit.py makes of it, where a server has the labels."""
        if self.step.settings["split"] == "test":
            return self.folder + ENTRIES[parse_label(self.weights[0]).dataset].end
        return None


@dataclass
class Found:
    """A test, its scores ({column: percent}) if they are there, what is lacking for them, and how they came about."""

    test: Test
    values: Optional[Dict[str, float]] = None
    needs: Tuple[Need, ...] = ()
    how: str = ""
    inputs: Optional[dict] = field(default=None, repr=False)

    @property
    def can_be_made(self) -> bool:
        """Whether only running it is lacking."""
        return self.values is None and not self.needs


def scores_of(tests: Sequence[Mapping[str, str]], places: Places) -> Found:
    """The scores of a row: of its tests one that was made, else one that can be made, else the one that lacks least."""
    found = [look(test) for test in tests_of(tests, places)]
    made = [one for one in found if one.values is not None] + [one for one in found if one.can_be_made]
    return made[0] if made else min(reversed(found), key=lambda one: len(one.needs))


def tests_of(tests: Sequence[Mapping[str, str]], places: Places) -> List[Test]:
    """A row's tests in their places: that of the recipe, then that of the released weights, if it has them."""
    recipe, output, training = recipe_of(tests[0], places)
    steps = [step for step in recipe.steps if step.is_test and step.name == tests[0].get("step", step.name)]
    if not steps:
        raise ValueError(f"{recipe.path} has no test called {tests[0].get('step')}")
    step = steps[-1].at(places.data, output, places.root, places.devices or {"cpus": False})
    sources = {in_output(path.format(data=places.data, output=output), places.root): " ".join(how.split())
               for path, how in recipe.needs.items()}
    found = [Test(step, sources, f"`{training}` makes it")]
    for one in (BY_FILE[test["released"]] for test in tests[1:]):
        stem = os.path.splitext(one.file)[0]
        settings = {**one.settings, "output": places.root, "data-root": places.data + one.settings["data-root"][4:]}
        step = Step(stem, one.program, f"{places.root}/{stem}/result.json", settings).at(
            "", "", places.root, places.devices or {"cpus": False})
        scores = ", ".join(f"{name} {value} %" for name, value in one.scores)
        found.append(Test(step, sources, f"released by the paper's authors with {scores} (`python tools/weights.py "
                                         f"check`); or `{training}` trains the network"))
    return found


def recipe_of(test: Mapping[str, str], places: Places) -> Tuple[Recipe, str, str]:
    """A test's recipe, of its item alone; the folder of its runs; the command that runs it."""
    path, only = f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else []
    recipe = read_recipe(path, only)
    output = in_output(recipe.output, places.root)
    words = [*(["--only", *only] if only else []), "--data", places.data,
             *(["--output", output] if output != recipe.output else [])]
    return recipe, output, shlex.join(["python", "tools/reproduce.py", "run", path, *words])


def look(test: Test) -> Found:
    """What there is of a test."""
    line, inputs, missing = f"python {shlex.join(test.step.words())}", inputs_of(test), missing_of(test)
    if inputs is None:
        return Found(test, None, missing, f"`{line}`")
    found = Found(test, kept_scores(test, inputs), (), f"`{line}`, SHA-256 of the weights {inputs['weights'][0][:12]}…",
                  inputs)
    server = (Need("server", test.entry, how_to_answer(test.entry)),) if test.entry else ()
    if found.values is None or test.entry and not os.path.exists(test.entry):
        found.values, found.needs = None, missing + server if missing else ()
    elif test.entry:
        label = parse_label(test.weights[0])
        answer = read_answer(test.entry, dataset_record(label.dataset, label.classes).class_names)
        found.values, found.needs = answer or {}, server
        found.how += f", scored by the benchmark's server (`{answer_path(test.entry)}`)"
    return found


def missing_of(test: Test) -> Tuple[Need, ...]:
    """What a test reads and what is not there."""
    root, dataset = test.step.settings["data-root"], parse_label(test.weights[0]).dataset
    wanted = {root: (os.path.basename(root), test.sources.get(root, "the dataset")),
              test.list: ("lists", f"`python tools/prepare.py {dataset} --root {root}` writes it")}
    wanted.update((path, ("weights", test.sources.get(path, test.makes_weights))) for path in test.weights)
    found = tuple(Need(what, path, how) for path, (what, how) in wanted.items() if not os.path.exists(path))
    server = (Need("server", test.entry, how_to_answer(test.entry)),) if test.entry and found else ()
    return found + server


def inputs_of(test: Test) -> Optional[dict]:
    """What a test's result depends on, or None where some of it is not there."""
    if not all(map(os.path.exists, (*test.weights, test.list))):
        return None
    root = test.step.settings["data-root"]
    images = sizes_digest(test.list, root, os.path.getmtime(test.list)) if os.path.exists(root) else None
    return {"command": test.step.words(ELSEWHERE), "weights": [digest(path) for path in test.weights],
            "list": digest(test.list), "images": images}


@functools.lru_cache(maxsize=None)
def sizes_digest(path: str, root: str, changed: float) -> str:
    """A digest of the sizes of the images and labels of a list, which was `changed` at that time.

    To read 50,000 images would take as long as to test them.
    """
    read = read_classification_list if list_task(path) == "classification" else read_segmentation_list
    files = [os.path.join(root, name) for sample in read(path, root) for name in (sample.image, sample.label_image)
             if name]
    sizes = [os.path.getsize(file) if os.path.exists(file) else None for file in files]
    return hashlib.sha256(repr(sizes).encode()).hexdigest()


def kept_scores(test: Test, inputs: dict, just_made: bool = False) -> Optional[Dict[str, float]]:
    """The scores in a test's `result.json`, {column: percent}, or None where it is not of `inputs`.

    A result that `just_made` says is new, or that `reproduce.py run` or a driver wrote of the same, gets its record.
    """
    if not os.path.isfile(test.step.makes):
        return None
    record, name = os.path.join(test.folder, "measured.json"), digest(test.step.makes)[:16]
    if is_known(record, name) and not just_made:
        return kept(record, inputs, None, name)
    result = read_result(test.step.makes)
    if just_made or is_of(test, result, inputs["weights"]):
        return kept(record, inputs, lambda: scores_in(result), name)
    return None


def is_of(test: Test, result: dict, weights: Sequence[str]) -> bool:
    """Whether a result has the arguments of a test, and is newer than all that it reads."""
    if any(os.path.getmtime(path) > os.path.getmtime(test.step.makes) for path in (*test.weights, test.list)) \
            or result.get("weights_sha256") not in (None, weights):
        return False
    words = test.step.words()
    program = importlib.import_module(words[0][:-len(".py")].replace("/", "."))
    asked = program.parse(words[1:]).arguments()
    found = result["arguments"]
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


def make(found: Found) -> Found:
    """Run a test, and make the entry that is asked for; what there is of it then. ValueError if one fails."""
    test = found.test
    if kept_scores(test, found.inputs) is None:
        run(test.step.words())
        kept_scores(test, found.inputs, just_made=True)
    if test.entry:
        run(["tools/submit.py", test.folder])
    return look(test)


def run(words: Sequence[str]) -> None:
    """Run one of the project's programs; ValueError if it fails, which it has told itself."""
    print(f"python {shlex.join(words)}", file=sys.stderr, flush=True)
    status = subprocess.run([sys.executable, *words]).returncode
    if status:
        raise ValueError(f"python {shlex.join(words)} ended with status {status}: what was measured before is kept")
