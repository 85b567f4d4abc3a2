"""The file that keeps the ranges of a network's maps, as they were measured on images."""
import json
import os
from typing import Any, Collection, Dict, Optional, Tuple

from ademxapp.files import write_json

Ranges = Dict[str, Tuple[float, float]]  # lowest and highest number, by map


def kept_ranges(path: str, origin: Dict[str, Any], watched: Collection[str]) -> Tuple[Optional[Ranges], Optional[str]]:
    """The ranges in a file, {map: (lowest, highest)}, and None; or None and why it does not fit (str).

    `origin` is what they must stem from (a dictionary of JSON's types); where it has None, anything will do.
    """
    try:
        with open(path, encoding="utf-8") as source:
            kept = json.load(source)
        ranges = {name: tuple(map(float, kept["ranges"][name])) for name in watched}
        before = dict(kept["origin"])
    except FileNotFoundError:
        return None, "there is no such file"
    except (ValueError, TypeError, KeyError, OSError):
        return None, "it cannot be used"
    other = [name for name, value in origin.items()
             if value is not None and _given(before.get(name)) != _given(value)]
    if other or any(len(pair) != 2 or not pair[0] <= pair[1] for pair in ranges.values()):
        return None, f"it is of another {', '.join(other)}" if other else "it cannot be used"
    return ranges, None


def _given(value: Any) -> Any:
    """A dictionary without what is not given in it: other programs, and older ones, have other flags."""
    return {name: one for name, one in value.items() if one} if isinstance(value, dict) else value


def keep_ranges(path: str, origin: Dict[str, Any], ranges: Ranges) -> None:
    """Write the file, whole or not at all."""
    write_json(path, {"origin": origin, "ranges": {name: ranges[name] for name in sorted(ranges)}})


def ranges_path(weights: str) -> str:
    """Where the ranges of a file of weights are kept: beside it."""
    return os.path.splitext(weights)[0] + "_int8.json"
