"""The steps of a recipe, one after another, or items side by side; those that are done are skipped.

    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
    python tools/reproduce.py run recipes/voc.yaml --only rna-a1-2conv --data data
    python tools/reproduce.py run recipes/miniature.yaml --jobs 2 --data $ADEMXAPP_DATA
"""
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Mapping, Optional, Sequence

from ademxapp.cli import Parser, UsageError, existing_file, number, require_data
from ademxapp.files import digest, is_known, kept
from ademxapp.paper import scores_of_test
from ademxapp.training.progress import clock

from .recipes import DEVICES, Recipe, Setting, Step, read_recipe

DONE, TO_DO, OTHER = "done", "to do", "made by another command"
ELSEWHERE = (*DEVICES, "data-root", "root", "data", "output")  # flags that do not decide what comes out


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py run`."""
    parser.description = __doc__
    add_recipe_arguments(parser)
    add_data_argument(parser)
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="in place of the recipe's "
                        "values")
    parser.add_argument("--jobs", type=number(int, 1), default=1, metavar="N", help="items of `for` side by side")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--gpus", metavar="0,1,…", help="in place of the recipe's devices: cards")
    where.add_argument("--cpus", type=number(int, 1, 64), metavar="N", help="or CPU devices")


def add_recipe_arguments(parser: Parser) -> None:
    """Add the arguments that choose a recipe, some of its items, and where its runs are."""
    parser.add_argument("recipe", type=existing_file, help="YAML file")
    parser.add_argument("--output", metavar="DIR", help="folder of the runs (default: as the recipe says)")
    parser.add_argument("--only", metavar="NAME,…", help="items of the recipe's `for` (default: all)")


def add_data_argument(parser: Parser) -> None:
    """Add --data, the folder that {data} in recipes stands for."""
    parser.add_argument("--data", default=os.environ.get("ADEMXAPP_DATA"), metavar="DIR",
                        help="folder of the datasets (default: $ADEMXAPP_DATA)")


def run(recipe: str, output: Optional[str], only: Optional[str], data: Optional[str], set: Sequence[str], jobs: int,
        dry_run: bool, gpus: Optional[str], cpus: Optional[int]) -> int:
    """Run the steps that are not done; the exit status."""
    wrong = [text for text in set if "=" not in text]
    if wrong:
        raise UsageError(f"--set {wrong[0]}: wanted KEY=VALUE")
    found = read_recipe(recipe, only.split(",") if only else None, dict(text.split("=", 1) for text in set))
    if any("{data}" in str(step) for step in found.steps):
        require_data(data)
    output, data = output or found.output, data or ""
    devices = {"gpus": gpus} if gpus else {"cpus": cpus} if cpus else None
    if jobs > 1 and not dry_run:
        return run_items(found, data, output, jobs)
    return run_steps(found, data, output, dry_run, devices)


def run_steps(recipe: Recipe, data: str, output: str, dry_run: bool = False,
              devices: Optional[Mapping[str, Setting]] = None) -> int:
    """Run every step whose file is not there; the exit status of the first that fails, else 0.

    ValueError where a step needs a file that is not there, or its file was made by another command.
    """
    needs = {path.format(data=data, output=output): " ".join(how.split()) for path, how in recipe.needs.items()}
    if recipe.time:
        print(f"time: {' '.join(recipe.time.split())}")
    for path, how in needs.items():
        print(f"needs {path}{'' if os.path.exists(path) else ' (not there)'}: {how}")
    for count, step in enumerate(recipe.steps, 1):
        step = step.at(data, output, devices=devices)
        state, paper = state_of(step, output), scores_of_test(recipe.stem, step.item, step.name) if step.is_test else {}
        print(f"[{count}/{len(recipe.steps)}] {step.name}: {state}{expectation(step, paper)}\n  python "
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
    resume = step.log and glob.glob(f"{glob.escape(step.log)}_snapshot/*/state.json")
    start, limited = time.monotonic(), {"OMP_NUM_THREADS": str(threads)} if threads else {}
    status = subprocess.run([sys.executable, *words, *(["--resume"] if resume else [])],
                            env={**os.environ, **limited}).returncode
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


def expectation(step: Step, paper: Dict[str, float]) -> str:
    """What is known of a step's scores and time, in words."""
    said = [f"{name} {value:.2f} expected" for name, value in step.expect.items()]
    said += [f"about {step.minutes} minutes expected"] if step.minutes else []
    said += [f"the paper has {', '.join(f'{name} {value}' for name, value in paper.items())}"] if paper else []
    return "".join(f", {text}" for text in said)


def print_scores(step: Step, paper: Dict[str, float]) -> None:
    """Print the scores that the recipe expects of a step, and the paper's, beside those in its result."""
    if not step.expect and not paper:
        return
    with open(step.makes, encoding="utf-8") as source:
        result = json.load(source)
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
