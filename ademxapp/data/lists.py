"""Lists of samples.

Classification: `index<TAB>class<TAB>image`. Segmentation: `image<TAB>label`, or `image` alone where there is no truth.
Paths are relative to the data root and stay below it; symbolic links there may lead anywhere, as their owner set them.
"""
import os
from dataclasses import dataclass, field
from typing import Optional

from ademxapp.data.images import read_bytes
from ademxapp.files import write_text

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_DIGITS = 7  # of a class: batches hold them as float32, which has all numbers up to 2^24


@dataclass(frozen=True)
class Sample:
    """One image. `image` and `label_image` are paths below `root`; `class_id` is -1 where it is not known.

    `image_path` and `label_path` are what messages call them; `line` is that of the list, 0 where there is none.
    """

    root: str
    image: str
    class_id: int = -1
    label_image: Optional[str] = None
    line: int = field(default=0, compare=False)

    @property
    def image_path(self):
        return os.path.join(self.root, self.image)

    @property
    def label_path(self):
        return os.path.join(self.root, self.label_image)

    def read(self):
        """The bytes of the image's file and, or None, of the label's."""
        return read_bytes(self.image_path), None if self.label_image is None else read_bytes(self.label_path)


def read_classification_list(path, root, classes=None):
    """Samples (list of `Sample`) of a classification list; class ids are in 0 … classes - 1, if that is given.

    Without `classes`, they may be -1 as well, where they are not known.
    """
    samples = []
    for line, fields in _rows(path):
        where = f"{path}:{line}"
        if len(fields) != 3:
            raise ValueError(f"{where}: {len(fields)} fields, wanted index<TAB>class<TAB>image")
        unknown, number = classes is None and fields[1] == "-1", fields[1].isdecimal() and len(fields[1]) <= _DIGITS
        if not unknown and (not number or (classes is not None and int(fields[1]) >= classes)):
            wanted = f"a number of at most {_DIGITS} digits" if classes is None else f"among 0 … {classes - 1}"
            raise ValueError(f"{where}: class {fields[1][:40]!r} is not {wanted}")
        samples.append(Sample(root, _inside(fields[2], where), int(fields[1]), line=line))
    return samples


def read_segmentation_list(path, root):
    """Samples (list of `Sample`) of a segmentation list."""
    samples = []
    for line, fields in _rows(path):
        where = f"{path}:{line}"
        if len(fields) not in (1, 2):
            raise ValueError(f"{where}: {len(fields)} fields, wanted image<TAB>label")
        label = _inside(fields[1], where) if len(fields) == 2 else None
        samples.append(Sample(root, _inside(fields[0], where), label_image=label, line=line))
    return samples


def list_task(path):
    """"classification" or "segmentation", as most lines of a list have three fields or not."""
    rows = _rows(path)
    return "classification" if 2 * sum(len(fields) == 3 for _, fields in rows) > len(rows) else "segmentation"


def write_classification_list(path, samples):
    """Write `samples` as a classification list."""
    write_text(path, "".join(f"{i}\t{sample.class_id}\t{sample.image}\n" for i, sample in enumerate(samples)))


def write_segmentation_list(path, samples):
    """Write `samples` as a segmentation list."""
    write_text(path, "".join(sample.image + ("" if sample.label_image is None else f"\t{sample.label_image}") + "\n"
                             for sample in samples))


def _rows(path):
    """`(line, fields)` of every line that is not blank; at least one."""
    with open(path, encoding="utf-8") as lines:
        try:
            rows = [(number, line.rstrip("\r\n").split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no list: {error}") from None
    if not rows:
        raise ValueError(f"{path} names no image")
    return rows


def _inside(path, where):
    """`path`, if it stays below the data root."""
    normal = os.path.normpath(path)
    if not path or "\0" in path or os.path.isabs(normal) or normal.split(os.sep)[0] == "..":
        raise ValueError(f"{where}: the path {path!r} leaves the data root")
    return path
