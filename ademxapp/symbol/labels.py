"""Labels name a run: `<dataset>_<network>_cls<N>[_s<stride>][_<tag>]`."""
import os
import re
from dataclasses import dataclass
from typing import Optional

from ademxapp.files import without_copy_number

_LABEL = re.compile(
    r"^(?P<dataset>[a-z0-9-]+)_(?P<network>[a-z0-9.-]+)_cls(?P<classes>\d+)(?:_s(?P<stride>\d+))?(?:_(?P<tag>.+))?$")
_EPOCH = re.compile(r"_ep(?:-(\d{4,}))?$")
_EXTENSIONS = (".params", ".json", ".log", ".jsonl", ".png", ".npz", ".safetensors", ".pth", ".onnx")


@dataclass(frozen=True)
class Label:
    """The parts of a label. `stride` is None where the network keeps its own."""

    dataset: str
    network: str
    classes: int
    stride: Optional[int] = None
    tag: Optional[str] = None

    def __str__(self) -> str:
        stride = "" if self.stride is None else f"_s{self.stride}"
        tag = "" if self.tag is None else f"_{self.tag}"
        return f"{self.dataset}_{self.network}_cls{self.classes}{stride}{tag}"


def label_stem(text: str) -> str:
    """The label in a file name: without its directory, extension and `_ep-NNNN`."""
    return _EPOCH.sub("", _file_stem(text))


def label_epoch(text: str) -> Optional[int]:
    """Epochs that a checkpoint's name counts (int), or None where it names none."""
    found = _EPOCH.search(_file_stem(text))
    return int(found.group(1)) if found and found.group(1) else None


def parse_label(text: str) -> Label:
    """Parse a label, or the label in a checkpoint's path.

    Raises
    ------
    ValueError
        If `text` does not have the form of a label.
    """
    found = _LABEL.match(label_stem(text))
    if not found:
        raise ValueError(f"{text!r} is no label: wanted <dataset>_<network>_cls<N>[_s<stride>][_<tag>], "
                         "for instance voc_rna-a1_cls21_s8")
    parts = found.groupdict()
    classes, stride = int(parts["classes"]), int(parts["stride"]) if parts["stride"] else None
    if classes < 1 or stride == 0:
        raise ValueError(f"{text!r} is no label: classes ({classes}) and stride ({stride}) start at 1")
    return Label(parts["dataset"], parts["network"], classes, stride, parts["tag"])


def _file_stem(text: str) -> str:
    name = os.path.basename(str(text).rstrip("/"))
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            name = name[:-len(extension)]
    name = without_copy_number(name)
    return name[:-len("-symbol")] if name.endswith("-symbol") else name
