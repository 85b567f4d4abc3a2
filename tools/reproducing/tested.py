"""Scores of a row's test: of the weights that its recipe makes, or of those that the authors released."""
import functools
import hashlib
import importlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Dict, Tuple

from ademxapp.data.lists import list_task, read_classification_list, read_segmentation_list
from ademxapp.driver import read_result
from ademxapp.files import digest
from ademxapp.paper import class_column
from ademxapp.symbol import parse_label
from ademxapp.weights.released import BY_FILE
from issegm.datasets import dataset_record
from tools.reproducing import state
from tools.reproducing.cells import Need
from tools.reproducing.measurements import Measurement
from tools.reproducing.recipes import in_output, read_recipe, without
from tools.reproducing.servers import answer_path, read_answer, server_need
from tools.submit import ENTRIES

RECORD = "measured.json"  # in a test's folder: what its result was measured of
FILLED = ("model", "dataset", "test_scales", "batch_images", "head")  # by the drivers, where they are not given
ELSEWHERE = ("--gpus", "--cpus", "--data-root", "--output")  # no matter for what comes out


@dataclass(frozen=True)
class Command:
    """A test: what follows `python`, its `result.json`, how what it reads comes there, and what makes its weights."""

    words: Tuple[str, ...]
    result: str
    needs: Dict[str, str]
    makes_weights: str

    def values(self, flag):
        """What is given to a flag (list of str)."""
        return [value for name, value in zip(self.words, self.words[1:]) if name == flag]

    @property
    def weights(self):
        """Paths of the networks' files."""
        return self.values("--weights")

    @property
    def list(self):
        """The list of the split."""
        return os.path.join("data", parse_label(self.weights[0]).dataset, f"{self.values('--split')[0]}.lst")

    @property
    def is_entry(self):
        """Whether a server has the labels."""
        return self.values("--split") == ["test"]


def scores_of(tests, places):
    """The `Measurement` of the scores of a row's `tests`.

    Of its tests, in this order: one that was made, one that can be made, the one that lacks least.

    Parameters
    ----------
    tests : tuple of dict
    places : Namespace
        data, output (folders), and devices (a list: the arguments of the programs that choose them).
    """
    found = [tested(command) for command in commands_of(tests, places)]
    made = [one for one in found if one.values is not None] + [one for one in found if one.make]
    return made[0] if made else min(reversed(found), key=lambda one: len(one.needs))


def commands_of(tests, places):
    """The commands of a row's `tests`: of the recipe's weights, and of the released ones."""
    test = tests[0]
    recipe = recipe_of(test)
    stages = [stage for stage in recipe["stages"] if "--phase" in stage["command"] or "msctest" in stage["command"]
              if stage["name"] == test.get("step", stage["name"]) and "--phase train" not in stage["command"]]
    if not stages:
        raise ValueError(f"{test['recipe']} has no test called {test.get('step')}")
    place = {"data": places.data, "output": in_output(recipe["output"], places.output)}
    words = [in_output(word.format(**place), places.output) for word in shlex.split(stages[-1]["command"])]
    needs = {in_output(path.format(**place), places.output): " ".join(how.split())
             for path, how in recipe["needs"].items()}
    training = run_command(test, recipe, places)
    ours = Command(with_devices(words, places), stages[-1]["makes"].format(**place), needs, f"`{training}` makes it")
    if len(tests) == 1:
        return [ours]
    released = BY_FILE[tests[1]["released"]]
    words = [f"{places.data}{word[len('data'):]}" if word.startswith("data/") else
             word if word != "output" else places.output for word in shlex.split(released.command)[1:]]
    result = os.path.join(places.output, os.path.splitext(released.file)[0], "result.json")
    scores = ", ".join(f"{name} {value} %" for name, value in released.scores)
    return [ours, Command(with_devices(words, places), result, needs, f"released by the paper's authors with {scores} "
                          f"(`python tools/weights.py check`); or `{training}` trains the network")]


def recipe_of(test):
    """The recipe of a row's `test`, of its item alone."""
    return read_recipe(f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else None)


def run_command(test, recipe, places):
    """The command line that runs the recipe of a row's `test`."""
    only = ["--only", test["only"]] if "only" in test else []
    output = in_output(recipe["output"], places.output)
    elsewhere = ["--output", output] if output != recipe["output"] else []
    path = f"recipes/{test['recipe']}.yaml"
    return shlex.join(["python", "tools/reproduce.py", "run", path, *only, "--data", places.data, *elsewhere])


def with_devices(words, places):
    """A test's words with the devices that are asked for; else the program chooses: the first card, or the CPU."""
    return (*without(words, ("--gpus", "--cpus")), *places.devices)


def tested(command):
    """The `Measurement` of a command."""
    line = f"python {shlex.join(command.words)}"
    found = Measurement("scores", line, how=f"`{line}`", folder=os.path.dirname(command.result))
    missing = tuple(missing_of(command))
    inputs, scores = inputs_of(command), None
    if inputs:
        found.how += f", SHA-256 of the weights {inputs['weights'][0][:12]}…"
        scores = kept_scores(command, inputs)
    if scores is not None and (not command.is_entry or os.path.exists(archive(command))):
        fill(found, command, scores)
    elif missing:
        found.needs = missing + ((server_need(archive(command)),) if command.is_entry else ())
    else:
        found.make = lambda: make(command, inputs, found)
    return found


def fill(found, command, scores):
    """Put the scores of a command's test into its `Measurement`; of an entry, those that the server answers."""
    if command.is_entry:
        entry, label = archive(command), parse_label(command.weights[0])
        scores = read_answer(entry, dataset_record(label.dataset, label.classes).class_names)
        found.values, found.needs = scores or {}, (server_need(entry),)
        found.how += f", scored by the benchmark's server (`{answer_path(entry)}`)"
    else:
        found.values, found.needs = scores, ()


def inputs_of(command):
    """What a command's result depends on, or None where some of it is not there."""
    root, = command.values("--data-root")
    if not all(map(os.path.exists, (*command.weights, command.list))):
        return None
    images = sizes_digest(command.list, root, os.path.getmtime(command.list)) if os.path.exists(root) else None
    return {"command": without(command.words, ELSEWHERE), "weights": [digest(path) for path in command.weights],
            "list": digest(command.list), "images": images}


@functools.lru_cache(maxsize=None)
def sizes_digest(path, root, changed):
    """A digest of the sizes of the images and labels of a list, which was `changed` at that time.

    To read 50,000 images would take as long as to test them.
    """
    read = read_classification_list if list_task(path) == "classification" else read_segmentation_list
    files = [os.path.join(root, name) for sample in read(path, root) for name in (sample.image, sample.label_image)
             if name]
    sizes = [os.path.getsize(file) if os.path.exists(file) else None for file in files]
    return hashlib.sha256(repr(sizes).encode()).hexdigest()


def missing_of(command):
    """The `Need` of everything that a test reads and that is not there."""
    root, = command.values("--data-root")
    dataset = parse_label(command.weights[0]).dataset
    wanted = {root: (os.path.basename(root), command.needs.get(root, "the dataset")),
              command.list: ("lists", f"`python tools/prepare.py {dataset} --root {root}` writes it")}
    wanted.update((path, ("weights", command.needs.get(path, command.makes_weights))) for path in command.weights)
    return [Need(what, path, how) for path, (what, how) in wanted.items() if not os.path.exists(path)]


def make(command, inputs, found):
    """Run a test, and make the entry that is asked for; the values go into `found`. ValueError if one fails."""
    scores = kept_scores(command, inputs)
    if scores is None:
        run(command.words)
        scores = kept_scores(command, inputs, just_made=True)
    if command.is_entry:
        run(("tools/submit.py", os.path.dirname(command.result)))
    fill(found, command, scores)


def run(words):
    """Run one of the project's programs; ValueError if it fails, which it has told itself."""
    print(f"python {shlex.join(words)}", file=sys.stderr, flush=True)
    status = subprocess.run([sys.executable, *words]).returncode
    if status:
        raise ValueError(f"python {shlex.join(words)} ended with status {status}: what was measured before is kept")


def kept_scores(command, inputs, just_made=False):
    """The scores in a test's `result.json`, {column: percent}, or None where it is not of `inputs`.

    A result that `just_made` says is new, or that `reproduce.py run` or a driver wrote of the same, gets its record.
    """
    if not os.path.isfile(command.result):
        return None
    record = os.path.join(os.path.dirname(command.result), RECORD)
    inputs = {**inputs, "result": digest(command.result)}
    kept = state.recall(record, inputs)
    if kept is not None:
        return kept
    result = read_result(command.result)
    known = state.is_of(record, "result", inputs["result"])  # and it was of something else
    if just_made or not known and is_of(command, result, inputs["weights"]):
        return state.remember(record, inputs, scores_in(result))
    return None


def is_of(command, result, weights):
    """Whether a result has the arguments of a command, and is newer than all that it reads."""
    if any(os.path.getmtime(path) > os.path.getmtime(command.result) for path in (*command.weights, command.list)) \
            or result.get("weights_sha256") not in (None, weights):
        return False
    program = importlib.import_module(command.words[0][:-len(".py")].replace("/", "."))
    asked = program.parse(command.words[1:]).arguments()
    found = result["arguments"]
    return all((found.get(name) or None) == (value or None) for name, value in asked.items()
               if name not in ("data_root", "dataset_file", "weights") and not (
                   value is None and (name in FILLED or name.startswith("crf_"))))


def scores_in(result):
    """The scores of a result, {column: percent}."""
    scores = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    if result.get("class_iou"):
        arguments = result["arguments"]
        record = dataset_record(arguments["dataset"], len(result["class_iou"]), arguments.get("dataset_file"))
        scores.update(zip(map(class_column, record.class_names), result["class_iou"]))
    return scores


def archive(command):
    """The entry that tools/submit.py makes of a test's folder."""
    return os.path.dirname(command.result) + ENTRIES[parse_label(command.weights[0]).dataset].end
