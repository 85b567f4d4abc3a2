"""The folder of a test, and its `result.json`."""
import json
import os
import shutil
from typing import Any, Dict, Optional, Sequence, Tuple

from ademxapp.driver.environment import versions
from ademxapp.driver.identity import Identity
from ademxapp.errors import UsageError
from ademxapp.files import remove_parts, write_json
from ademxapp.flags import Settings

RESULT = "result.json"
UNFINISHED = "unfinished.json"  # what the files of a test that has no result yet stem from


def test_folder(output: str, *parts: Optional[str]) -> str:
    """The path of a test's folder; of `parts`, those that there are: the weights' name, the split, the tag, a shard."""
    return os.path.join(output, "_".join(part for part in parts if part))


def holds_same(folder: str, test: Identity, overwrite: bool) -> bool:
    """Whether what a folder holds is of the same test; UsageError if it is of another, which may not be overwritten."""
    path, before = None, None
    try:
        path, before = read_record(folder)
    except ValueError:
        if not overwrite:
            raise
    changed = test.differences(before) if before else []
    if changed and not overwrite:
        what = "the result of a test" if str(path).endswith(RESULT) else "an unfinished test"
        raise UsageError(f"{folder} holds {what} with another {', '.join(changed)}: give this one a --tag, or replace "
                         "that one with --overwrite")
    return before is not None and not changed


def claim_folder(folder: str, test: Identity, overwrite: bool, reads: Sequence[str] = ()) -> bool:
    """Make a folder the test's alone, as `holds_same`: another test goes as a whole.

    The same test's result is taken away, too: it would not be that of what is written from now on. `reads` are paths
    of files that the test reads, which must not go.
    """
    same = holds_same(folder, test, overwrite)
    if overwrite and not same and os.path.isdir(folder):
        _empty(folder, reads)
    os.makedirs(folder, exist_ok=True)
    for place, _, _ in os.walk(folder):
        remove_parts(place)
    write_json(os.path.join(folder, UNFINISHED), test.record())
    if os.path.isfile(os.path.join(folder, RESULT)):
        os.unlink(os.path.join(folder, RESULT))
    return same


def _empty(folder: str, reads: Sequence[str]) -> None:
    inside = [path for path in reads if os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)]
    if inside:
        raise UsageError(f"--overwrite would remove {inside[0]}, which is in the folder of the test: move it, or give "
                         "this test a --tag")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        (shutil.rmtree if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)


def read_record(folder: str) -> Tuple[Optional[str], Optional[Dict[str, Any]]]:
    """What says which test a folder's files are of, its path and contents: `unfinished.json`, else `result.json`.

    None and None where there is neither; ValueError where it is damaged.
    """
    for name in (UNFINISHED, RESULT):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path, read_result(path)
    return None, None


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


def write_result(folder: str, settings: Settings, test: Optional[Identity], images: int, seconds: float,
                 paper: Optional[Dict[str, float]], scores: Dict[str, Any]) -> None:
    """Write `result.json`: what was tested, how, and its scores; the test is finished."""
    arguments = settings.arguments()
    record = test.record() if test else {"task": "segmentation", "arguments": arguments}
    write_json(os.path.join(folder, RESULT), {
        "label": arguments["model"], "weights": arguments["weights"], "split": arguments["split"], **record,
        "versions": versions(), "images": images, "images_per_second": round(images / seconds, 3), "paper": paper,
        **scores})
    if test:
        os.unlink(os.path.join(folder, UNFINISHED))
