"""Recipes: files that are read, checked and written out for the items of `for`."""
import json
import re
import reprlib
import shlex

from ademxapp.cli import UsageError, existing_file
from ademxapp.yaml_files import read_yaml

LARGEST = 10 ** 9
STAGE_FIELDS = {"name", "command", "makes"}
RECIPE_TYPES = {"title": str, "about": str, "notes": str, "output": str, "time": str, "page": str, "for": list,
                "needs": dict, "threads": int, "minutes": int}
STAGE_TYPES = {"name": str, "command": str, "makes": str, "log": str, "expect": dict, "paper": dict,
               "minutes": (int, float), "picture": str}


def add_recipe_arguments(parser):
    """Add the arguments that choose a recipe, some of its items, and where its runs are."""
    parser.add_argument("recipe", type=existing_file, help="YAML file")
    parser.add_argument("--output", metavar="DIR", help="folder of the runs (default: as the recipe says)")
    parser.add_argument("--only", metavar="NAME,…", help="items of the recipe's `for` (default: all)")


def chosen_recipe(args):
    """The recipe that the arguments choose, and the folder of its runs."""
    recipe = read_recipe(args.recipe, args.only.split(",") if args.only else None)
    return recipe, args.output or recipe["output"]


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
    if not 0 < recipe.get("threads", 1) < LARGEST:
        raise ValueError(f"{path}: threads: wanted at least 1, got {recipe['threads']}")
    items = {item_name(item): item for item in recipe.get("for", [])}
    keys = set().union(*items.values())
    for stage in stages:
        require_types(stage, {"when": str}, f"{path}: {reprlib.repr(stage['name'])}")
        if stage.get("when") not in (None, *keys):
            raise ValueError(f"{path}: when: {reprlib.repr(stage['when'])} is a key of no item of `for`")
    unknown = [name for name in only or () if name not in items]
    if unknown:
        raise UsageError(f"--only {unknown[0]}: {path} has {', '.join(items) or 'no items to choose from'}")
    chosen = [items[name] for name in only] if only else list(items.values()) or [{}]
    try:
        stages = [fill(stage, item) for item in chosen for stage in stages if stage.get("when") in (None, *item)]
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


def item_name(item):
    """What an item of `for` is called: its first value."""
    return str(next(iter(item.values())))


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


def in_output(path, output):
    """A path of a recipe's, where its runs are in the folder `output` instead of output."""
    return f"{output}/{path[len('output/'):]}" if path.startswith("output/") else path


def relocated(recipe, output, devices=()):
    """The recipe with its runs in the folder `output`, and on `devices` (arguments of the programs) where given."""
    def words(command):
        found = [in_output(word, output) for word in shlex.split(command)]
        return without(found, ("--gpus", "--cpus")) + list(devices) if {"--gpus", "--cpus"} & set(found) and devices \
            else found

    stages = [{**stage, "command": shlex.join(words(stage["command"])), "makes": in_output(stage["makes"], output)}
              for stage in recipe["stages"]]
    needs = {in_output(path, output): how for path, how in recipe["needs"].items()}
    return {**recipe, "stages": stages, "needs": needs}


def without(words, flags):
    """The words of a command without some flags and their values (list of str)."""
    return [word for before, word in zip(["", *words], words) if word not in flags and before not in flags]
