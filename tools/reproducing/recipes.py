"""Recipes: files that are read, checked and written out for the items of `for`."""
import os
import re
import reprlib
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ademxapp.cli import UsageError
from ademxapp.data.images import stem
from ademxapp.files import read_yaml
from ademxapp.weights.released import BY_FILE

LARGEST = 10 ** 9
NUMBER = (int, float)
RECIPE_TYPES = {"title": str, "about": str, "notes": str, "output": str, "time": str, "keep": str,
                "for": list, "steps": list, "needs": dict, "values": dict, "threads": int}
STEP_TYPES = {"name": str, "run": str, "with": dict, "makes": str, "log": str, "expect": dict, "minutes": NUMBER,
              "picture": bool, "when": str}
WORDS = {str: "a text", list: "a list", dict: "a mapping", bool: "true or false"}
DEVICES = ("gpus", "cpus")
Setting = Union[str, int, float, bool, List[Union[str, int, float]]]


@dataclass(frozen=True)
class Step:
    """A command, and the file that shows it is done."""

    name: str
    run: str  # the program, and its subcommand if it has some
    makes: str  # the file that shows it is done
    settings: Dict[str, Setting] = field(default_factory=dict)  # true: the flag alone, false: not, a list: each
    log: str = ""  # of a training: its folder and label, by which it is resumed
    expect: Dict[str, float] = field(default_factory=dict)  # scores that came out here
    minutes: Optional[float] = None  # that it took here
    picture: bool = False  # it makes one for the page
    item: str = field(default="", compare=False)  # of `for`

    @property
    def is_test(self) -> bool:
        """Whether it makes a `result.json`."""
        return os.path.basename(self.makes) == "result.json"

    def words(self, without: Sequence[str] = ()) -> List[str]:
        """The command, behind `python`; without some flags."""
        found = self.run.split(" ")
        for flag, value in self.settings.items():
            for one in value if isinstance(value, list) else [value]:
                if one is not False and flag not in without:
                    found += [f"--{flag}"] if one is True else [f"--{flag}", str(one)]
        return found

    def at(self, data: str, output: str, root: str = "output", devices: Optional[Mapping[str, Setting]] = None
           ) -> "Step":
        """With {data} and {output} replaced, what is in output/ in `root`, and `devices`, where it has some."""
        def put(value: Setting) -> Setting:
            if isinstance(value, list):
                return [put(one) for one in value]
            return in_output(fill(value, {"data": data, "output": output}), root) if isinstance(value, str) else value

        settings = {flag: put(value) for flag, value in self.settings.items()}
        if devices and set(DEVICES) & set(settings):
            settings = {**{flag: value for flag, value in settings.items() if flag not in DEVICES}, **devices}
        return replace(self, run=put(self.run), settings=settings, makes=put(self.makes), log=put(self.log))


@dataclass(frozen=True)
class Recipe:
    """A recipe, written out for items of its `for`."""

    path: str
    output: str  # folder of its runs
    steps: Tuple[Step, ...]
    items: Dict[str, dict] = field(default_factory=dict)  # of `for`, by name
    needs: Dict[str, str] = field(default_factory=dict)  # files that no step makes: where they come from
    time: str = ""  # that the original took
    keep: str = ""  # the folder, or the file of rows, for what `keep` keeps
    threads: Optional[int] = None


def read_recipe(path: str, only: Optional[Sequence[str]] = None, values: Optional[Mapping[str, str]] = None) -> Recipe:
    """A recipe, its steps and needs written out for the items of `for`, or for those that are named in `only`.

    `values` stand in place of the recipe's. ValueError if it is none, UsageError if it has no such item or value.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or not {"title", "output", "steps"} <= set(data):
        raise ValueError(f"{path} is no recipe: wanted title, output and steps")
    require_types(data, RECIPE_TYPES, path)
    if not all(isinstance(item, dict) and item for item in data.get("for", [])):
        raise ValueError(f"{path}: for: wanted a list of mappings")
    if not 0 < data.get("threads", 1) < LARGEST:
        raise ValueError(f"{path}: threads: wanted at least 1, got {data['threads']}")
    items, common = {str(next(iter(item.values()))): item for item in data.get("for", [])}, data.get("values", {})
    for asked, known, flag in ((only, items, "--only"), (values, common, "--set")):
        unknown = [name for name in asked or () if name not in known]
        if unknown:
            raise UsageError(f"{flag} {unknown[0]}: {path} has {', '.join(known) or 'none to choose from'}")
    chosen, steps, needs = {name: items[name] for name in only or items}, [], {}
    for name, item in (chosen or {"": {}}).items():
        filling = {**common, **(values or {}), **item}
        steps += [read_step(step, filling, name, path) for step in data["steps"]
                  if not isinstance(step, dict) or step.get("when") in (None, *item)]
        needs.update(fill(data.get("needs", {}), filling))
    require_types(needs, str, f"{path}: needs")
    require_places(needs, f"{path}: needs")
    return Recipe(path, data["output"], tuple(step for place, step in enumerate(steps) if step not in steps[:place]),
                  chosen, needs, **{name: data[name] for name in ("time", "keep", "threads") if name in data})


def read_step(data: Any, item: Mapping[str, Any], name: str, path: str) -> Step:
    """A step, written out for an item that is called `name`."""
    if isinstance(data, dict) and list(data) == ["released"]:  # the published test of these weights
        file = fill(data["released"], item)
        if file not in BY_FILE:
            raise ValueError(f"released: {reprlib.repr(file)}: wanted one of {', '.join(BY_FILE)}")
        label, settings = stem(BY_FILE[file].settings["weights"]), BY_FILE[file].settings
        return Step(f"{label}, test", BY_FILE[file].program, f"{{output}}/{label}/result.json", {
            **settings, "output": "{output}", "data-root": "{data}" + settings["data-root"][len("data"):]}, item=name)
    if not isinstance(data, dict) or not {"name", "run", "makes"} <= set(data):
        raise ValueError(f"{path}: steps: wanted mappings with name, run and makes")
    where = f"{path}: {reprlib.repr(data['name'])}"
    try:
        data = fill(data, item)
    except TypeError as error:  # a list for {key} in a key
        raise ValueError(f"{where}: {error}") from None
    require_types(data, STEP_TYPES, where)
    settings, expected = data.get("with", {}), data.get("expect", {})
    single = [one for value in settings.values() for one in (value if isinstance(value, list) else [value])]
    require_types(dict(enumerate(single)), (str, bool, *NUMBER), f"{where}: with")
    require_types(expected, NUMBER, f"{where}: expect")
    if any(abs(value) > LARGEST for value in expected.values()):
        raise ValueError(f"{where}: expect: wanted scores of at most {LARGEST}")
    require_places([data["name"], data["run"], data["makes"], data.get("log", ""), *settings, *single], where)
    rest = {key: data[key] for key in ("log", "expect", "minutes", "picture") if key in data}
    return Step(data["name"], data["run"], data["makes"], settings, item=name, **rest)


def require_types(found: Mapping[Any, Any], types: Any, where: str) -> None:
    """ValueError unless all values are of `types` or, if that is a mapping, of those that it has of their keys."""
    for key, value in found.items():
        if isinstance(types, dict) and key not in types:
            raise ValueError(f"{where}: {reprlib.repr(key)} is unknown: there are {', '.join(types)}")
        wanted = types[key] if isinstance(types, dict) else types
        if not isinstance(value, wanted):
            raise ValueError(f"{where}: {key}: wanted {WORDS.get(wanted, 'a number')}, got {reprlib.repr(value)}")


def require_places(texts: Iterable[object], where: str) -> None:
    """ValueError if texts have other braces than those of {data} and {output}."""
    for text in map(str, texts):
        if set("{}") & set(text.replace("{data}", "").replace("{output}", "")):
            raise ValueError(f"{where}: {reprlib.repr(text)} has braces that are not those of {{data}}, {{output}} or "
                             "keys of `for` or `values`")


def fill(value: Any, item: Mapping[str, Any]) -> Any:
    """`value` with {key} replaced by the item's values, whole where it is nothing else; what the item lacks stays."""
    if isinstance(value, dict):
        return {fill(key, item): fill(inner, item) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, item) for inner in value]
    if not isinstance(value, str):
        return value
    if value[:1] == "{" and value[1:-1] in item:
        return item[value[1:-1]]
    return re.sub(r"\{(\w+)\}", lambda key: str(item.get(key[1], key[0])), value)


def in_output(path: str, root: str) -> str:
    """A path of a recipe's, where what it has in output/ is in the folder `root` instead."""
    return f"{root}/{path[len('output/'):]}" if path.startswith("output/") else path
