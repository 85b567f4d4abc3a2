"""The folder of a test, and its `result.json`."""
import json
import os

from ademxapp.driver.arguments import PLACES, what_matters
from ademxapp.driver.environment import versions
from ademxapp.errors import UsageError
from ademxapp.files import write_json

RESULT = "result.json"
UNFINISHED = "unfinished.json"  # what the files of a test that has no result yet stem from


def test_folder(args, *more, name=None):
    """The folder of a test's results, made; UsageError if it holds a test with other arguments.

    It is called `name`, the weights' unless given, with the split unless that is val, the tag, and what else there is
    (`more`, str or None).
    """
    name = name or os.path.splitext(os.path.basename(args.weights))[0]
    parts = (name, None if args.split == "val" else args.split, args.tag, *more)
    folder = os.path.join(args.output, "_".join(part for part in parts if part))
    for file, what in ((RESULT, "the result of a test"), (UNFINISHED, "an unfinished test")):
        path = os.path.join(folder, file)
        if os.path.isfile(path) and not args.overwrite:
            before, now = read_result(path)["arguments"], what_matters(args)
            changed = sorted(name for name in {*before, *now} - set(PLACES)  # an older result lacks new flags
                             if (before.get(name) or None) != (now.get(name) or None))
            if changed:
                raise UsageError(f"{folder} holds {what} with another {', '.join(changed)}: give this one a --tag, or "
                                 "replace that one with --overwrite")
    os.makedirs(folder, exist_ok=True)
    return folder


def discard_result(folder):
    """Remove the `result.json` of an earlier test: it would not be that of the pictures written from now on."""
    path = os.path.join(folder, RESULT)
    if os.path.isfile(path):
        os.unlink(path)


def read_result(path):
    """The contents of a `result.json`; ValueError if it is none."""
    try:
        with open(path, encoding="utf-8") as source:
            result = json.load(source)
        if isinstance(result, dict) and "arguments" in result:
            return result
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        pass
    raise ValueError(f"{path} is no result of a test: remove it, or give --overwrite")


def write_result(folder, args, images, seconds, paper, scores):
    """Write `result.json`: what was tested, how, and its scores (a dictionary)."""
    write_json(os.path.join(folder, RESULT), {
        "label": args.model, "weights": args.weights, "split": args.split, "arguments": what_matters(args),
        "versions": versions(), "images": images, "images_per_second": round(images / seconds, 3), "paper": paper,
        **scores})
