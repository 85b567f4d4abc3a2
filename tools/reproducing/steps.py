"""The steps of a recipe: they are run, and what they leave is kept for the pages."""
import glob
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from ademxapp.cli import UsageError, existing_file, number, require_data
from ademxapp.files import Values, digest, is_known, kept, read_json, read_text, without_places, write_json
from ademxapp.flags import Settings, flag
from ademxapp.paper import SCORES, scores_of_test
from ademxapp.training.progress import clock, read_reports

from .recipes import DEVICES, Recipe, Setting, Step, read_recipe

DONE, TO_DO, OTHER = "done", "to do", "made by another command"
ELSEWHERE = (*DEVICES, "data-root", "root", "data", "output")  # flags that do not decide what comes out
COMPARED = sorted([*SCORES, "losses", "accuracies"])
TIMES = re.compile(r"trained in (\d+):(\d+):(\d+), (\d+):(\d+):(\d+) of it on the processors")
TRAININGS = "trainings"  # what the times of a folder's trainings are kept under


@dataclass(frozen=True)
class Items(Settings):
    """What chooses a recipe, some of its items, and where its runs are."""

    recipe: str = flag("YAML file", positional=True, type=existing_file)
    output: Optional[str] = flag("folder of the runs (default: as the recipe says)", metavar="DIR")
    only: Optional[str] = flag("items of the recipe's `for` (default: all)", metavar="NAME,…")

    def read(self, values: Optional[Mapping[str, str]] = None) -> Recipe:
        """The recipe for the items that are asked for."""
        return read_recipe(self.recipe, self.only.split(",") if self.only else None, values)


@dataclass(frozen=True)
class Data(Settings):
    """The folder that {data} in recipes stands for."""

    data: Optional[str] = flag("folder of the datasets (default: $ADEMXAPP_DATA)", metavar="DIR")

    def folder(self, default: str) -> str:
        """The folder of the datasets, that of the environment or else `default` where none is given."""
        return self.data or os.environ.get("ADEMXAPP_DATA") or default


@dataclass(frozen=True)
class Run(Data, Items):
    """The steps of a recipe, one after another, or items side by side; those that are done are skipped.

        python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
        python tools/reproduce.py run recipes/voc.yaml --only rna-a1-2conv --data data
        python tools/reproduce.py run recipes/miniature.yaml --jobs 2 --data $ADEMXAPP_DATA
    """

    set: Optional[List[str]] = flag("in place of the recipe's values", metavar="KEY=VALUE", action="append")
    jobs: int = flag("items of `for` side by side", 1, type=number(int, 1), metavar="N")
    dry_run: bool = flag("only print the commands", False)
    gpus: Optional[str] = flag("in place of the recipe's devices: cards", one_of="devices", metavar="0,1,…")
    cpus: Optional[int] = flag("or CPU devices", one_of="devices", type=number(int, 1, 64), metavar="N")

    def execute(self) -> int:
        """Run the steps that are not done; the exit status."""
        wrong = [text for text in self.set or () if "=" not in text]
        if wrong:
            raise UsageError(f"--set {wrong[0]}: wanted KEY=VALUE")
        recipe = self.read(dict(text.split("=", 1) for text in self.set or ()))
        if "{data}" in str(recipe.steps):
            require_data(self.data)
        data, output = self.folder(""), self.output or recipe.output
        if self.jobs > 1 and not self.dry_run:
            return run_items(recipe, data, output, self.jobs)
        devices = {"gpus": self.gpus} if self.gpus else {"cpus": self.cpus} if self.cpus else None
        return run_steps(recipe, data, output, self.dry_run, devices)


@dataclass(frozen=True)
class Keep(Items):
    """What the runs of a recipe have left, copied into docs/results for the pages.

        python tools/reproduce.py keep recipes/first-run.yaml
        python tools/reproduce.py keep recipes/miniature.yaml --only f-0 --output output/again --compare

    A recipe's `keep` is a folder of results and pictures, or a JSON file of rows, one for each item of `for`: the
    scores of its tests and the curves of its trainings. --compare keeps nothing, and tells how many numbers are others.
    """

    compare: bool = flag("tell which numbers are not those that are kept", False)

    def execute(self) -> int:
        """Keep, or compare: then 1 if a number is another, else 0."""
        recipe = self.read()
        output, rows = self.output or recipe.output, recipe.keep.endswith(".json")
        if not recipe.keep:
            raise UsageError(f"{self.recipe} has no `keep`, which says where its results go")
        gathered = rows_of(recipe, output) if rows else results_of(recipe, output)
        if self.compare:
            pairs = [pair for name, now in gathered.items()
                     for pair in itertools.zip_longest(numbers(read_kept(recipe, name)), numbers(now))]
            different = sum(before != now for before, now in pairs)
            print(f"{different} of {len(pairs)} numbers are others")
            return int(different > 0)
        for name, values in gathered.items():
            if rows:
                kept(recipe.keep, fingerprint(recipe, name), lambda values=values: values, name)
            else:
                write_json(os.path.join(recipe.keep, f"{name}.json"), values)
        for step in () if rows else [step.at("", output) for step in recipe.steps]:
            for picture in [f"{step.log}.png"] * bool(step.log) + [step.makes] * step.picture:
                shutil.copy(picture, os.path.join(recipe.keep, os.path.basename(picture)))
        print(f"kept in {recipe.keep}: python tools/reproduce.py pages fills the pages")
        return 0


def run_steps(recipe: Recipe, data: str, output: str, dry_run: bool = False,
              devices: Optional[Mapping[str, Setting]] = None) -> int:
    """Run every step whose file is not there; the exit status of the first that fails, else 0."""
    needs = {path.format(data=data, output=output): " ".join(how.split()) for path, how in recipe.needs.items()}
    if recipe.time:
        print(f"time: {' '.join(recipe.time.split())}")
    for path, how in needs.items():
        print(f"needs {path}{'' if os.path.exists(path) else ' (not there)'}: {how}")
    for count, step in enumerate(recipe.steps, 1):
        step = step.at(data, output, devices=devices)
        state = state_of(step, output)
        paper = scores_of_test(Path(recipe.path).stem, step.item, step.name) if step.is_test else {}
        known = [f"{name} {value:.2f} expected" for name, value in step.expect.items()]
        known += [f"about {step.minutes} minutes expected"] if step.minutes else []
        known += [f"the paper has {', '.join(f'{name} {value}' for name, value in paper.items())}"] if paper else []
        print(f"[{count}/{len(recipe.steps)}] {', '.join([f'{step.name}: {state}', *known])}\n  python "
              f"{shlex.join(step.words())}", flush=True)
        if not dry_run:
            if state == OTHER:
                raise ValueError(f"{step.makes} was {OTHER} than that of {step.name!r}: remove it, or give another "
                                 "--output")
            status = run_step(step, needs, recipe.threads, output) if state == TO_DO else 0
            if status:
                return status
            print_scores(step, paper)
    return 0


def run_step(step: Step, needs: Dict[str, str], threads: Optional[int], output: str) -> int:
    """Run a step, resumed where it broke off; the exit status. What it was made by is kept."""
    words = step.words()
    for path, how in needs.items():
        if any(path in word for word in words) and not os.path.exists(path):
            raise ValueError(f"there is no {path}, which the step {step.name!r} needs: {how}")
    if step.log and glob.glob(f"{glob.escape(step.log)}_snapshot/*/state.json"):
        words.append("--resume")
    start, limited = time.monotonic(), {"OMP_NUM_THREADS": str(threads)} if threads else {}
    status = subprocess.run([sys.executable, *words], env={**os.environ, **limited}).returncode
    if not status:
        kept(record_of(step, output), made_by(step), lambda: {"seconds": round(time.monotonic() - start)})
    return status


def state_of(step: Step, output: str) -> str:
    """Whether a step is done; what was made by hand, and so has no record, counts."""
    if not os.path.exists(step.makes):
        return TO_DO
    record = record_of(step, output)
    return OTHER if is_known(record) and kept(record, made_by(step)) is None else DONE


def made_by(step: Step) -> Dict[str, Optional[List[str]]]:
    """What decides what a step makes: its command, and the weights that it starts from, None where they are gone."""
    weights = step.settings.get("weights", [])
    files = weights if isinstance(weights, list) else [weights]
    digests = [digest(path) for path in files] if all(map(os.path.exists, files)) else None
    return {"command": step.words(ELSEWHERE), "weights": digests}


def record_of(step: Step, output: str) -> str:
    """Where it is kept what a step was made by."""
    return os.path.join(output, "steps", f"{re.sub(r'[^0-9A-Za-z]+', '-', step.name).strip('-')}.json")


def print_scores(step: Step, paper: Dict[str, float]) -> None:
    """Print the scores that the recipe expects of a step, and the paper's, beside those in its result."""
    result = read_json(step.makes) if step.expect or paper else {}
    missing = [name for name in step.expect if name not in result]
    if missing:
        raise ValueError(f"{step.makes} has no {missing[0]}, which the recipe expects of the step {step.name!r}")
    for scores, whose in ((step.expect, "expected"), (paper, "the paper's")):
        for name in (name for name in scores if name in result):
            print(f"  {name} {result[name]:.2f}, {whose} {scores[name]:.2f}", flush=True)


def run_items(recipe: Recipe, data: str, output: str, jobs: int) -> int:
    """Run the items of a recipe, `jobs` at a time, each after the one that it builds on; 1 if one failed, else 0."""
    processes: List[subprocess.Popen] = []
    started, failed, start = {}, 0, time.monotonic()

    def one(name: str) -> int:
        before = recipe.items[name].get("after")
        if before in started:
            started[before].result()
        log = os.path.join(output, "items", f"{name}.log")
        print(f"{name}: started, {log}", flush=True)
        with open(log, "a", encoding="utf-8") as out:
            processes.append(subprocess.Popen(
                [sys.executable, "tools/reproduce.py", "run", recipe.path, "--only", name, "--data", data, "--output",
                 output], stdout=out, stderr=subprocess.STDOUT))
            return processes[-1].wait()

    os.makedirs(os.path.join(output, "items"), exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for name in recipe.items:  # first in, first out: what an item waits for has begun before it
                started[name] = pool.submit(one, name)
            for count, (name, future) in enumerate(started.items(), 1):
                if future.result():
                    failed = 1
                    print(f"{name}: failed with exit status {future.result()}; its log tells why", file=sys.stderr)
                left = (time.monotonic() - start) / count * (len(started) - count)
                print(f"{name}: {len(started) - count} to go, remaining {clock(left)}", flush=True)
        finally:
            for future in started.values():
                future.cancel()
            for process in processes:
                process.terminate()
    return failed


def results_of(recipe: Recipe, output: str) -> Dict[str, Values]:
    """{name: what is kept under it} of every test and search, without this machine's places; trainings' times."""
    steps = [step.at("", output) for step in recipe.steps]
    trainings = {os.path.basename(step.log): minutes_of(step.log) for step in steps if step.log}
    found = {TRAININGS: trainings} if trainings else {}
    for step in (step for step in steps if step.makes.endswith(".json")):
        result = read_json(step.makes)
        inside = {"arguments": without_places(result["arguments"])} if "arguments" in result else {}
        found[kept_name(step)] = {**without_places(result), **inside}
    return found


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


def fingerprint(recipe: Recipe, name: str) -> Values:
    """A digest of an item's commands and of the number of threads."""
    commands = [" ".join(step.words()) for step in read_recipe(recipe.path, [name]).steps]
    return {"commands": hashlib.sha256(json.dumps([commands, recipe.threads]).encode()).hexdigest()[:16]}


def rows_of(recipe: Recipe, output: str) -> Dict[str, Values]:
    """{item: tests with their scores, trainings with processor time and curves} of what the items' runs have left."""
    rows = {}
    for name in recipe.items:
        steps = [step.at("", output) for step in read_recipe(recipe.path, [name]).steps]
        results = [read_json(step.makes) for step in steps if step.is_test]
        trainings = []
        for path in (step.log for step in steps if step.log):
            reports = read_reports(path)
            batches = max(report["batch"] for report in reports)
            trainings.append({
                "label": os.path.basename(path), "processor_minutes": minutes_of(path)["processors"],
                "epochs": [round(report["epoch"] - 1 + report["batch"] / batches, 3) for report in reports],
                "losses": [round(report["loss"], 4) for report in reports],
                "accuracies": [round(report["accuracy"], 4) for report in reports]})
        seconds = sum(result["images"] / result["images_per_second"] for result in results)
        rows[name] = {
            "tests": [{key: result[key] for key in ("label", *SCORES, "images") if key in result}
                      for result in results],
            "trainings": trainings,
            "processor_minutes": round(sum(training["processor_minutes"] for training in trainings), 2),
            "test_minutes": round(seconds / 60, 2), "versions": results[-1]["versions"]}
    return rows


def minutes_of(path: str) -> Dict[str, float]:
    """A training's minutes, by the clock and of processors, as its log says, over all times that it was resumed."""
    found = np.array(TIMES.findall(read_text(f"{path}.log")), float).reshape(-1, 2, 3) @ (60, 1, 1 / 60)
    return dict(zip(("clock", "processors"), found.sum(0).round(2).tolist()))


def numbers(values: Values) -> List[Any]:
    """The scores, losses and accuracies of a row or a result, in an order."""
    parts = [*values.get("tests", [values]), *values.get("trainings", [])]
    found = [part[name] for part in parts for name in COMPARED if name in part]
    return [number for one in found for number in (one if isinstance(one, list) else [one])]
