"""What was measured before, kept with what it was measured of: where that has changed, it counts no more."""
import json

from ademxapp.files import write_json


def recall(path, inputs):
    """The values that `remember` put into a file, or None if they are not of `inputs`, or the file is damaged.

    An input that is None is one that cannot be told now: whatever it was counts.
    """
    known, values = _read(path)
    return values if {**known, **{name: None for name, value in inputs.items() if value is None}} == inputs else None


def is_of(path, name, value):
    """Whether what a file keeps was measured with this `value` of the input `name`."""
    return _read(path)[0].get(name) == value


def _read(path):
    """(inputs, values) of a file, both empty where there is none or it is damaged."""
    try:
        with open(path, encoding="utf-8") as source:
            record = json.load(source)
        return dict(record["inputs"]), dict(record["values"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}, {}


def remember(path, inputs, values):
    """Keep values (dict) with what they were measured of (dict), both of what JSON has; the values."""
    write_json(path, {"inputs": inputs, "values": values})
    return values
