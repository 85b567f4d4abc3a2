"""What was made before, kept with what it was made of: where that has changed, it counts no more."""
import json
from typing import Any, Callable, Dict, Optional

from ademxapp.files import write_json

Values = Dict[str, Any]  # of what JSON has


def kept(path: str, inputs: Values, make: Optional[Callable[[], Values]] = None, name: str = "it"
         ) -> Optional[Values]:
    """The values that a file keeps under a name, if they are of these `inputs`; else what `make` gives, kept there.

    None where there are none and nothing makes them. An input that is None is one that cannot be told now: whatever it
    was counts.
    """
    records = _read(path)
    known, values = records.get(name, (None, None))
    if known is not None and {**known, **{key: None for key, value in inputs.items() if value is None}} == inputs:
        return values
    if make is None:
        return None
    values = make()
    records = {**_read(path), name: (inputs, values)}  # once more: what is made may have been kept beside it
    write_json(path, {one: dict(zip(("inputs", "values"), record)) for one, record in records.items()})
    return values


def is_known(path: str, name: str = "it") -> bool:
    """Whether a file keeps something under a name, of whatever inputs."""
    return name in _read(path)


def _read(path: str) -> Dict[str, tuple]:
    """{name: (inputs, values)} of a file, empty where there is none or it is damaged."""
    try:
        with open(path, encoding="utf-8") as source:
            return {name: (dict(record["inputs"]), dict(record["values"]))
                    for name, record in json.load(source).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
