"""Datasets described in a file: YAML with the fields of a record; and colours of classes."""
import dataclasses
import glob
import os
import reprlib
import typing
from typing import TYPE_CHECKING, Any, Dict, Iterator, Sequence, Tuple, Type, TypeVar

import numpy as np
import yaml

from ademxapp.files import read_yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


def voc_palette() -> np.ndarray:
    """PASCAL VOC's colours, (256, 3) uint8: the bits of an index, three at a time, from the highest bit of R, G, B."""
    bits = np.arange(256)[:, None, None] >> np.arange(24).reshape(8, 3) & 1  # (index, place from the highest, channel)
    return np.packbits(bits, axis=1)[:, 0]


def full_palette(colours: Sequence[Tuple[int, int, int]]) -> np.ndarray:
    """A (256, 3) uint8 palette that starts with `colours` and goes on with VOC's; 255 is white unless given."""
    palette = voc_palette()
    palette[255] = 255
    palette[:len(colours)] = colours
    return palette


def read_dataset_file(path: str, kind: Type[Record], name: str) -> Record:
    """The record in a YAML file, of the dataset that the run's label calls `name`; the file may repeat that.

    `kind` is a dataclass. Its fields' annotations say what the file's values must be; those with the metadata
    `in_file=False` cannot be given. Raises ValueError, which names the file and the field.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} describes no dataset: wanted lines `field: value`")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.metadata.get("in_file", True)}
    unknown = [key for key in values if key not in fields]
    if unknown:
        raise ValueError(f"{path}: {reprlib.repr(unknown[0])} is no field of a dataset; known are {', '.join(fields)}")
    if isinstance(values.setdefault("name", name), str) and values["name"] != name:
        raise ValueError(f"{path}: name: {reprlib.repr(values['name'])}, but the label or --dataset says {name!r}")
    missing = [key for key, field in fields.items() if key not in values
               and field.default is field.default_factory is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{path}: there is no {missing[0]}")
    return record_of(values, kind, path)


def record_of(values: Dict[str, Any], kind: Type[Record], path: str) -> Record:
    """The record of the fields that stand in a file, `path`; ValueError, which names both, for one that is wrong."""
    hints = typing.get_type_hints(kind)
    found = {key: as_annotated(hints[key], value, f"{path}: {key}") for key, value in values.items()}
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def shipped(kind: Type[Record], module: str) -> Iterator[Record]:
    """The records that come with a module, in files as of `read_dataset_file`, with what cannot be given there too."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    for path in sorted(glob.glob(os.path.join(os.path.dirname(module), "records", "*.yaml"))):
        with open(path, "rb") as source:
            yield record_of(yaml.load(source, loader), kind, path)


def as_annotated(hint: Any, value: Any, where: str) -> Any:
    """`value`, of JSON or YAML, as the annotation `hint` wants it: lists become tuples. Else ValueError: `where`."""
    if hint is typing.Any:
        return value
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:  # Optional
        return None if value is None else as_annotated(parts[0], value, where)
    if origin is tuple and isinstance(value, list):
        if parts[-1] is Ellipsis:
            return tuple(as_annotated(parts[0], item, f"{where}: item {i}") for i, item in enumerate(value))
        if len(parts) == len(value):
            return tuple(as_annotated(part, item, where) for part, item in zip(parts, value))
    if origin is dict and isinstance(value, dict):
        return {as_annotated(parts[0], key, where): as_annotated(parts[1], item, f"{where}: {key}")
                for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return record_of(value, hint, where)
    if origin is None and type(value) is hint:
        return value
    quotes = "; YAML takes it for another thing unless it stands in quotes" if hint is str else ""
    raise ValueError(f"{where}: wanted {_words(hint)}, got {reprlib.repr(value)}{quotes}")


def _words(hint: Any, many: bool = False) -> str:
    """What an annotation wants, in words; `many`: in the plural."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return _words(parts[0], many)
    if origin is tuple:
        count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        return f"{'lists' if many else 'a list'} of {count}{_words(parts[0], True)}"
    if origin is dict:
        return f"a mapping of {_words(parts[0], True)} to {_words(parts[1], True)}"
    return {str: ("a text", "texts"), int: ("an integer", "integers"), float: ("a number", "numbers"),
            bool: ("true or false",) * 2, typing.Any: ("anything",) * 2}[hint][many]
