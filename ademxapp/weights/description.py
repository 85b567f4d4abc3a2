"""What is known of a network's weights, and where it is kept.

Training leaves `<weights>.json` beside every checkpoint; an ONNX file has the same in its metadata, value by value.
"""
import dataclasses
import functools
import json
import math
import mmap
import os
import typing
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ademxapp.data.dataset_file import as_annotated
from ademxapp.errors import one_line
from ademxapp.files import digest, read_json, write_text

TASKS = CLASSIFICATION, SEGMENTATION = "classification", "segmentation"
_NUMBER, _BYTES, _FIXED = 0, 2, {1: 8, 5: 4}  # protocol buffers' wire types; bytes of those of a fixed size
_PROPERTIES = 14  # the field of onnx.proto's ModelProto that has the metadata


@dataclass(frozen=True)
class Description:
    """What is known of a network's weights; a size is 0, a text or a tuple empty, where it is not known."""

    label: str  # of the run that they come from
    task: str  # "classification": probabilities (N, classes); "segmentation": (N, classes, H / stride, W / stride)
    classes: int
    stride: int  # pixels from one cell to the next
    mean: Tuple[float, float, float]  # of RGB / 255, by which inputs are normalised
    std: Tuple[float, float, float]
    interpolation: str  # how images are scaled (see `ademxapp.data.transforms`)
    test_scale: int  # pixels of the shorter side in classification, of the longer one in segmentation
    head: str = ""  # segmentation: one of `ademxapp.symbol.heads.HEADS`
    pool_style: str = ""  # one of `ademxapp.symbol.options.POOL_STYLES`, "" for None
    crop_size: int = 0  # pixels, of the training
    origin_size: int = 0  # pixels of the longer side in training, before the random scale
    class_names: Tuple[str, ...] = ()
    folders: Tuple[str, ...] = ()  # classification: the classes' folders, where they are not called as the classes
    label_ids: Tuple[int, ...] = ()  # segmentation: what each class is in label images
    ignored_ids: Tuple[int, ...] = ()  # segmentation: what does not count there
    palette: Tuple[Tuple[int, int, int], ...] = ()  # segmentation: RGB of label images' values, 0 … 255
    same_size: bool = False  # segmentation: all images of the dataset have one size
    pixels: str = ""  # "uint8" or "float32" where the network itself normalises: inputs are RGB in 0 … 255
    recipe: Dict[str, Any] = field(default_factory=dict)  # the training's settings
    versions: Dict[str, str] = field(default_factory=dict)  # {name: version} of what it ran on
    weights_sha256: str = ""  # of the `.params` file
    note: str = ""  # what has to be told of a description that is not used; in no file

    def values(self) -> Dict[str, Any]:
        """The fields that a file keeps, {name: value}."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "note"}

    def require_order(self, names: Sequence[str], source: str) -> None:
        """ValueError if a dataset has the weights' classes in another order: each label would be another's."""
        if tuple(names) != self.class_names and sorted(names) == sorted(self.class_names):
            raise ValueError(f"{source} has the classes {', '.join(names)}, the weights were trained on them in the "
                             f"order {', '.join(self.class_names)}: give the file that they were trained with")

    def properties(self) -> Dict[str, str]:
        """The same as {name: JSON}, for the metadata of an ONNX file."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in self.values().items()}


def only(scales: Optional[Sequence[int]]) -> Optional[int]:
    """The scale that is asked for, where it is one."""
    return scales[0] if scales and len(scales) == 1 else None


def description_path(weights: str) -> str:
    """Where the description of a file of weights is: beside it, `x.json` of `x.params`, `x.pth.json` of `x.pth`."""
    stem, extension = os.path.splitext(weights)
    return (stem if extension == ".params" else weights) + ".json"


def write_description(weights: str, about: Mapping[str, Any]) -> None:
    """Write `about`, values by a `Description`'s names and perhaps more, beside weights that have been written."""
    values = {**about, "weights_sha256": digest(weights)}
    lines = (f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    write_text(description_path(weights), "{\n" + ",\n".join(lines) + "\n}\n")


def read_properties(properties: Mapping[str, str], path: str) -> Description:
    """The `Description` in {name: JSON}; ValueError, which names `path`, if it is not there or not whole."""
    try:
        return _checked({name: json.loads(value) for name, value in properties.items() if name in _HINTS})
    except (ValueError, RecursionError):
        raise ValueError(f"{path} does not say what its inputs and classes are: wanted a file that tools/weights.py "
                         "export wrote") from None


_HINTS = {name: hint for name, hint in typing.get_type_hints(Description).items() if name != "note"}
_REQUIRED = [one.name for one in dataclasses.fields(Description)
             if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING]


def _checked(values: Mapping[str, Any]) -> Description:
    """The `Description` of a file's values; ValueError unless each is what it must be."""
    missing = [name for name in _REQUIRED if name not in values]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    found = Description(**{name: as_annotated(_HINTS[name], value, name) for name, value in values.items()})
    for name, good in (("task", found.task in TASKS), ("classes", found.classes > 0), ("stride", found.stride > 0),
                       ("mean", all(map(math.isfinite, found.mean))), ("test_scale", found.test_scale >= 0),
                       ("std", all(0 < value < math.inf for value in found.std)),
                       ("class_names", len(found.class_names) in (0, found.classes)),
                       ("folders", len(found.folders) in (0, len(found.class_names))),
                       ("label_ids", len(found.label_ids) in (0, found.classes))):
        if not good:
            raise ValueError(f"{name}: {getattr(found, name)!r}")
    return found


def kept_description(weights: str) -> Tuple[Optional[Description], str]:
    """The description beside a file of weights, or None; and what is to be told of one that is not used."""
    from ademxapp.symbol.options import without_copy_number  # here: reading workers need no networks
    beside, (stem, extension) = description_path(weights), os.path.splitext(weights)
    places = (beside, description_path(without_copy_number(stem) + extension))
    place = next(filter(os.path.isfile, places), None)
    if place is None:
        return None, ""
    try:
        values = read_json(place)
        if not isinstance(values, dict) or "task" not in values:  # a validation's scores alone, of an older run
            return None, ""
        found = _checked({name: value for name, value in values.items() if name in _HINTS})
    except (ValueError, RecursionError, OSError) as error:
        return None, f"{place} cannot be used ({one_line(error)}): the weights are taken as their name says"
    about = os.stat(weights)
    if found.weights_sha256 != _digest(weights, about.st_size, about.st_mtime_ns):
        return None, (f"{place} is of other weights than {weights} (its digest differs): they are taken as their name "
                      "says")
    return found, ""


@functools.lru_cache(maxsize=8)
def _digest(path: str, size: int, modified: int) -> str:
    """The digest of a file that is asked for several times; its size and time say whether it is still the same."""
    return digest(path)


def onnx_properties(path: str) -> Dict[str, str]:
    """Names and texts of an ONNX file's metadata: nothing else of it is read. ValueError if it is no such file.

    It is a message of protocol buffers (onnx.proto: ModelProto); each pair is one, with the fields 1 and 2.
    """
    with open(path, "rb") as stream:
        try:
            model = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            pairs = [dict(_fields(pair)) for number, pair in _fields(model) if number == _PROPERTIES]
            return {str(pair.get(1, b""), "utf-8"): str(pair.get(2, b""), "utf-8") for pair in pairs}
        except (ValueError, LookupError):
            raise ValueError(f"{path} is no whole ONNX file") from None


def _fields(message: memoryview) -> Iterator[Tuple[int, memoryview]]:
    """(number, content) of a message's fields of bytes; others are passed over."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = 0
        for shift in range(0, 64, 7):
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError(f"{value} and more in a field")

    while place < len(message):
        number, kind = divmod(varint(), 8)
        if kind == _NUMBER:
            varint()
            continue
        size = varint() if kind == _BYTES else _FIXED[kind]
        if place + size > len(message):
            raise ValueError(f"{size} bytes in a field")
        if kind == _BYTES:
            yield number, message[place:place + size]
        place += size
