"""Run a recipe, stage by stage, and make the page of its results.

    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA
    python tools/reproduce.py run recipes/voc.yaml --only rna-a1-2conv --data data
    python tools/reproduce.py page recipes/first-run.yaml --out docs/results/first-run.md

Stages that are done are skipped, so that a recipe can be stopped and taken up again.

A recipe has title, about, output and stages, each with name, command (what follows `python`), makes (the file that
shows it is done), log (a training's, to resume it), expect (scores that came out here) and paper (the published ones,
in percent). {data} and {output} stand for the folders. Where a recipe is for several networks, `for` lists one item
for each, and {key} in a stage stands for the item's value; the item's first value is its name for --only. `needs` tells
where files come from that no stage makes, and `time` how long the original took. `page: comparison` asks for a page
that puts the tests side by side.
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
import re
import reprlib
import shlex
import subprocess
import sys
from importlib import import_module

from ademxapp.cli import UsageError, existing_file, make_parser
from ademxapp.yaml_files import read_yaml

LARGEST = 10 ** 9
STAGE_FIELDS = {"name", "command", "makes"}
RECIPE_TYPES = {"title": str, "about": str, "notes": str, "output": str, "time": str, "page": str, "for": list,
                "needs": dict}
STAGE_TYPES = {"name": str, "command": str, "makes": str, "log": str, "expect": dict, "paper": dict,
               "minutes": (int, float), "picture": str}


def main(argv=None):
    """Run the subcommand that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="do", required=True, metavar="COMMAND")
    for name, text in (("run", "run the stages that are not done"), ("page", "write the page of the results")):
        command = commands.add_parser(name, help=text)
        command.add_argument("recipe", type=existing_file, help="YAML file")
        command.add_argument("--output", metavar="DIR", help="folder of the runs (default: as the recipe says)")
        command.add_argument("--only", metavar="NAME,…", help="items of the recipe's `for` (default: all)")
    commands.choices["run"].add_argument("--data", default=os.environ.get("ADEMXAPP_DATA"), metavar="DIR",
                                         help="folder of the datasets (default: $ADEMXAPP_DATA)")
    commands.choices["run"].add_argument("--dry-run", action="store_true", help="only print the commands")
    commands.choices["page"].add_argument("--out", required=True, metavar="FILE", help="Markdown file; its pictures "
                                          "go into a folder of the same name")
    args = parser.parse_args(argv)
    recipe = read_recipe(args.recipe, args.only.split(",") if args.only else None)
    output = args.output or recipe["output"]
    if args.do == "page":
        name = "comparison_page" if recipe.get("page") == "comparison" else "results_page"
        getattr(import_module(f"tools.{name}"), name)(args.recipe, recipe, output, args.out)  # MXNet only where needed
        return 0
    if not args.data:
        raise UsageError("no --data DIR, and the environment variable ADEMXAPP_DATA is not set")
    return run_stages(recipe, args.data, output, args.dry_run)


def read_recipe(path, only=None):
    """A recipe (dict), its stages and needs written out for the items of `for`, or those that are named in `only`.

    ValueError if it is none, UsageError if it has no such item.
    """
    recipe = read_yaml(path)
    stages = recipe.get("stages") if isinstance(recipe, dict) else None
    if not isinstance(stages, list) or not all(isinstance(stage, dict) and STAGE_FIELDS <= set(stage)
                                               for stage in stages) or not {"title", "output"} <= set(recipe):
        raise ValueError(f"{path} is no recipe: wanted title, output, and stages with "
                         f"{', '.join(sorted(STAGE_FIELDS))}")
    require_types(recipe, RECIPE_TYPES, path)
    if not all(isinstance(item, dict) and item for item in recipe.get("for", [])):
        raise ValueError(f"{path}: for: wanted a list of mappings")
    items = {str(next(iter(item.values()))): item for item in recipe.get("for", [])}
    unknown = [name for name in only or () if name not in items]
    if unknown:
        raise UsageError(f"--only {unknown[0]}: {path} has {', '.join(items) or 'no items to choose from'}")
    chosen = [items[name] for name in only] if only else list(items.values()) or [{}]
    try:
        stages = [fill(stage, item) for item in chosen for stage in stages]
        needs = {name: how for item in chosen for name, how in fill(recipe.get("needs", {}), item).items()}
    except TypeError as error:  # a list for {key} in a key
        raise ValueError(f"{path}: {error}") from None
    strange = set(re.findall(r"\{\w+\}", json.dumps(stages))) - {"{data}", "{output}"}
    if strange:
        raise ValueError(f"{path}: {min(strange)[:40]} stands for nothing: wanted {{data}}, {{output}}, or a key of "
                         "`for`")
    for stage in stages:
        require_usable(stage, f"{path}: {reprlib.repr(stage['name'])}")
    for name, how in needs.items():
        require_types({"needs": name, name: how}, {"needs": str, name: str}, path)
        require_places([name], f"{path}: needs")
    return {**recipe, "stages": [stage for place, stage in enumerate(stages) if stage not in stages[:place]],
            "needs": needs}


def require_types(found, types, where):
    """ValueError unless what a mapping has of the keys of `types` ({key: type or types}) is of their types."""
    for key, kind in types.items():
        if key in found and not isinstance(found[key], kind):
            wanted = {str: "a text", list: "a list", dict: "a mapping"}.get(kind, "a number")
            raise ValueError(f"{where}: {key}: wanted {wanted}, got {reprlib.repr(found[key])}")


def require_usable(stage, where):
    """ValueError unless a stage's fields are what they should be, and its command and paths can be written out."""
    require_types(stage, STAGE_TYPES, where)
    expected = stage.get("expect", {})
    require_types(expected, dict.fromkeys(expected, (int, float)), f"{where}: expect")
    if any(abs(value) > LARGEST for value in expected.values()):
        raise ValueError(f"{where}: expect: wanted scores of at most {LARGEST}")
    try:
        command = shlex.split(stage["command"])
    except ValueError as error:
        raise ValueError(f"{where}: command: {error}") from None
    require_places([*command, stage["makes"], stage.get("log", "")], where)


def require_places(texts, where):
    """ValueError if `texts` have other braces than those of {data} and {output}."""
    for text in texts:
        if set("{}") & set(text.replace("{data}", "").replace("{output}", "")):
            raise ValueError(f"{where}: {reprlib.repr(text)} has braces that are not those of {{data}} or {{output}}")


def fill(value, item):
    """`value` (str, list, dict) with {key} replaced by the item's values; text that is nothing else becomes the value.

    What the item does not have, such as {data}, stays.
    """
    if isinstance(value, dict):
        return {fill(key, item): fill(inner, item) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, item) for inner in value]
    if not isinstance(value, str):
        return value
    if value[:1] == "{" and value[1:-1] in item:
        return item[value[1:-1]]
    return re.sub(r"\{(\w+)\}", lambda key: str(item.get(key[1], key[0])), value)


def run_stages(recipe, data, output, dry_run):
    """Run every stage whose file is not there; the exit status of the first that fails, else 0.

    ValueError where a stage needs a file that is not there.
    """
    needs = {path.format(data=data, output=output): how for path, how in recipe["needs"].items()}
    print_needs(recipe, needs)
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
        status = subprocess.run([sys.executable] + command + (["--resume"] if resume else [])).returncode
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
        print(f"  {name} {result[name]:.2f}, expected {value:.2f}", flush=True)
    for name, value in stage.get("paper", {}).items():
        if name in result:
            print(f"  {name} {result[name]:.2f}, the paper's {value}", flush=True)
