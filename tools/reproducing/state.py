"""What was measured before, kept with what it was measured of: where that has changed, it counts no more."""
import json

from ademxapp.files import write_json


def recall(path, inputs):
    """The values that `remember` put into a file, or None if they are not of `inputs`, or the file is damaged."""
    try:
        with open(path, encoding="utf-8") as source:
            record = json.load(source)
        return record["values"] if record["inputs"] == inputs else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def remember(path, inputs, values):
    """Keep values (dict) with what they were measured of (dict), both of what JSON has; the values."""
    write_json(path, {"inputs": inputs, "values": values})
    return values
