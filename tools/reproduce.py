"""Run a recipe, stage by stage, and make the page of its results.

    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA
    python tools/reproduce.py page recipes/first-run.yaml --out docs/results/first-run.md

Stages that are done are skipped, so that a recipe can be stopped and taken up again.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.reproduce")

import glob
import json
import os
import shlex
import subprocess
import sys

import yaml

from ademxapp.cli import UsageError, existing_file, make_parser
from tools.results_page import results_page

STAGE_FIELDS = {"name", "command", "makes"}


def main(argv=None):
    """Run the subcommand that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="do", required=True, metavar="COMMAND")
    for name, text in (("run", "run the stages that are not done"), ("page", "write the page of the results")):
        command = commands.add_parser(name, help=text)
        command.add_argument("recipe", type=existing_file, help="YAML file")
        command.add_argument("--output", metavar="DIR", help="folder of the runs (default: as the recipe says)")
    commands.choices["run"].add_argument("--data", default=os.environ.get("ADEMXAPP_DATA"), metavar="DIR",
                                         help="folder of the datasets (default: $ADEMXAPP_DATA)")
    commands.choices["run"].add_argument("--dry-run", action="store_true", help="only print the commands")
    commands.choices["page"].add_argument("--out", required=True, metavar="FILE", help="Markdown file; its pictures "
                                          "go into a folder of the same name")
    args = parser.parse_args(argv)
    recipe = read_recipe(args.recipe)
    output = args.output or recipe["output"]
    if args.do == "page":
        results_page(args.recipe, recipe, output, args.out)
        return 0
    if not args.data:
        raise UsageError("no --data DIR, and the environment variable ADEMXAPP_DATA is not set")
    return run_stages(recipe, args.data, output, args.dry_run)


def read_recipe(path):
    """A recipe (dict); ValueError if it is none."""
    with open(path, encoding="utf-8") as source:
        try:
            recipe = yaml.safe_load(source)
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML file: {error}") from None
    stages = recipe.get("stages") if isinstance(recipe, dict) else None
    if not isinstance(stages, list) or not all(isinstance(stage, dict) and STAGE_FIELDS <= set(stage)
                                               for stage in stages) or not {"title", "output"} <= set(recipe):
        raise ValueError(f"{path} is no recipe: wanted title, output, and stages with "
                         f"{', '.join(sorted(STAGE_FIELDS))}")
    return recipe


def run_stages(recipe, data, output, dry_run):
    """Run every stage whose file is not there; the exit status of the first that fails, else 0."""
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
        log = stage.get("log", "").format(data=data, output=output)
        resume = log and glob.glob(f"{glob.escape(log)}_snapshot/*/state.json")
        status = subprocess.run([sys.executable] + command + (["--resume"] if resume else [])).returncode
        if status:
            return status
        print_scores(stage, made)
    return 0


def expectation(stage):
    """What the recipe says of a stage's scores and time, in words."""
    said = [f"{name} {value:.2f}" for name, value in stage.get("expect", {}).items()]
    said += [f"about {stage['minutes']} minutes"] if "minutes" in stage else []
    return f": {', '.join(said)} expected" if said else ""


def print_scores(stage, made):
    """Print the scores that the recipe expects of a stage beside those in its result."""
    if "expect" not in stage:
        return
    with open(made, encoding="utf-8") as source:
        result = json.load(source)
    for name, value in stage["expect"].items():
        print(f"  {name} {result[name]:.2f}, expected {value:.2f}", flush=True)
