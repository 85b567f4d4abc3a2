"""The folder of a test, and its `result.json`."""
import json
import os
from typing import Any, Dict, Optional, Union

from ademxapp.driver.environment import versions
from ademxapp.errors import UsageError
from ademxapp.files import write_json
from ademxapp.flags import Decides
from ademxapp.settings import Data, Run, Testing

RESULT = "result.json"
UNFINISHED = "unfinished.json"  # what the files of a test that has no result yet stem from


def test_folder(settings: Testing, output: str, *parts: Optional[str]) -> str:
    """The folder of a test's results, made; UsageError if it holds another test.

    Its name has those of `parts` that there are: the weights' or whatever it is called by, the split, the tag, more.
    """
    folder = os.path.join(output, "_".join(part for part in parts if part))
    for file, what in ((RESULT, "the result of a test"), (UNFINISHED, "an unfinished test")):
        path = os.path.join(folder, file)
        if os.path.isfile(path) and not settings.overwrite:
            changed = settings.differences(read_result(path)["arguments"], Decides.TEST, ["dataset_file"])
            if changed:
                raise UsageError(f"{folder} holds {what} with another {', '.join(changed)}: give this one a --tag, or "
                                 "replace that one with --overwrite")
    os.makedirs(folder, exist_ok=True)
    return folder


def discard_result(folder: str) -> None:
    """Remove the `result.json` of an earlier test: it would not be that of the pictures written from now on."""
    path = os.path.join(folder, RESULT)
    if os.path.isfile(path):
        os.unlink(path)


def read_result(path: str) -> Dict[str, Any]:
    """The contents of a `result.json`; ValueError if it is none."""
    try:
        with open(path, encoding="utf-8") as source:
            result = json.load(source)
        if isinstance(result, dict) and "arguments" in result:
            return result
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        pass
    raise ValueError(f"{path} is no result of a test: remove it, or give --overwrite")


def write_result(folder: str, settings: Union[Run, Data], images: int, seconds: float,
                 paper: Optional[Dict[str, float]], scores: Dict[str, Any]) -> None:
    """Write `result.json`: what was tested, how, and its scores."""
    write_json(os.path.join(folder, RESULT), {
        "label": settings.model, "weights": settings.weights, "split": settings.split,
        "arguments": settings.arguments(), "versions": versions(), "images": images,
        "images_per_second": round(images / seconds, 3), "paper": paper, **scores})
