"""The stages of a recipe, run one after another; those that are done are skipped."""
import glob
import json
import os
import shlex
import subprocess
import sys

from ademxapp.cli import UsageError
from tools.reproducing.recipes import add_recipe_arguments, chosen_recipe


def add_arguments(parser):
    """Add the arguments of `reproduce.py run`."""
    add_recipe_arguments(parser)
    add_data_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")


def add_data_argument(parser):
    """Add --data, the folder that {data} in recipes stands for."""
    parser.add_argument("--data", default=os.environ.get("ADEMXAPP_DATA"), metavar="DIR",
                        help="folder of the datasets (default: $ADEMXAPP_DATA)")


def require_data(args):
    """UsageError unless there is --data."""
    if not args.data:
        raise UsageError("no --data DIR, and the environment variable ADEMXAPP_DATA is not set")


def run(args):
    """Run the stages that are not done; the exit status."""
    recipe, output = chosen_recipe(args)
    require_data(args)
    return run_stages(recipe, args.data, output, args.dry_run)


def run_stages(recipe, data, output, dry_run):
    """Run every stage whose file is not there; the exit status of the first that fails, else 0.

    ValueError where a stage needs a file that is not there.
    """
    needs = {path.format(data=data, output=output): how for path, how in recipe["needs"].items()}
    print_needs(recipe, needs)
    threads = {"OMP_NUM_THREADS": str(recipe["threads"])} if "threads" in recipe else {}
    for number, stage in enumerate(recipe["stages"], 1):
        command = [part.format(data=data, output=output) for part in shlex.split(stage["command"])]
        made = stage["makes"].format(data=data, output=output)
        done = os.path.exists(made)
        print(f"[{number}/{len(recipe['stages'])}] {stage['name']}{': done' if done else expectation(stage)}\n  python "
              f"{shlex.join(command)}", flush=True)
        if done and not dry_run:
            print_scores(stage, made)
        if done or dry_run:
            continue
        missing = [path for path in needs if any(path in part for part in command) and not os.path.exists(path)]
        if missing:
            raise ValueError(f"there is no {missing[0]}, which the stage {stage['name']!r} needs: {needs[missing[0]]}")
        log = stage.get("log", "").format(data=data, output=output)
        resume = log and glob.glob(f"{glob.escape(log)}_snapshot/*/state.json")
        status = subprocess.run([sys.executable] + command + (["--resume"] if resume else []),
                                env={**os.environ, **threads}).returncode
        if status:
            return status
        print_scores(stage, made)
    return 0


def print_needs(recipe, needs):
    """Print what the original needed of time, and what the stages need of files."""
    if "time" in recipe:
        print(f"time: {' '.join(recipe['time'].split())}")
    for path, how in needs.items():
        print(f"needs {path}{'' if os.path.exists(path) else ' (not there)'}: {' '.join(how.split())}")


def expectation(stage):
    """What the recipe says of a stage's scores and time, in words."""
    said = [f"{name} {value:.2f}" for name, value in stage.get("expect", {}).items()]
    said += [f"about {stage['minutes']} minutes"] if "minutes" in stage else []
    paper = [f"{name} {value}" for name, value in stage.get("paper", {}).items()]
    return (f": {', '.join(said)} expected" if said else "") + (f": the paper has {', '.join(paper)}" if paper else "")


def print_scores(stage, made):
    """Print the scores that the recipe expects of a stage, and the paper's, beside those in its result."""
    if not {"expect", "paper"} & set(stage):
        return
    with open(made, encoding="utf-8") as source:
        result = json.load(source)
    for name, value in stage.get("expect", {}).items():
        if name not in result:
            raise ValueError(f"{made} has no {name}, which the recipe expects of the stage {stage['name']!r}")
        print(f"  {name} {result[name]:.2f}, expected {value:.2f}", flush=True)
    for name, value in stage.get("paper", {}).items():
        if name in result:
            print(f"  {name} {result[name]:.2f}, the paper's {value}", flush=True)
