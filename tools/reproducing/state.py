"""What was measured before, kept with what it was measured of: where that has changed, it counts no more."""
import hashlib
import json
import os

from ademxapp.files import write_json

_BLOCK = 2 ** 20


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


def sha256_of(path):
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_if_there(path):
    """SHA-256 of a file, or None where there is none."""
    return sha256_of(path) if os.path.isfile(path) else None
