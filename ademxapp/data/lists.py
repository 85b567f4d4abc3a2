"""Lists of samples.

Classification: `index<TAB>class<TAB>image`. Segmentation: `image<TAB>label`, or `image` alone where there is no truth.
Paths are relative to the data root and stay below it; symbolic links there may lead anywhere, as their owner set them.

Lists of other programs are read where they say one thing only: classes as 3.000000 (MXNet's im2rec), commas,
semicolons or spaces for tabs, quotes (spreadsheets), backslashes, spaces around names, UTF-16, a mark in front, CR LF.
Where a name is there as it stands in the list, it is that name.
"""
import csv
import os
import re
from itertools import islice
from typing import Callable, Iterable, List, Optional, Tuple

import numpy as np

from ademxapp.data.images import read_bytes
from ademxapp.data.samples import Sample, Samples
from ademxapp.data.tables import Table, each_line, plain_text
from ademxapp.files import write_text

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
DIGITS = 7  # of a class: batches hold them as float32, which has all numbers up to 2^24
_LOOKED_AT = 1000  # lines that tell a list's task
# Where a text has none of these, its fields are what stands between the tabs, and no path needs a second look.
_ODD = (b'"', b"\\", b"..", b" \t", b"\t ", b" \n", b"\n ", b"\n\n", b"\t\t", b"\n\t", b"\t\n", b"\n/", b"\t/")
_AFTER_IMAGE = re.compile(rf"(?<=\.)({'|'.join(name[1:] for name in IMAGE_EXTENSIONS)}) +", re.IGNORECASE)
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0*")
_DRIVE = re.compile(r"[A-Za-z]:/")


def read_classification_list(path: str, root: str, classes: Optional[int] = None) -> Samples:
    """Samples of a classification list; class ids are in 0 … classes - 1, if that is given.

    Without `classes`, they may be -1 as well, where they are not known.
    """
    text, lines = plain_text(read_bytes(path), path), None
    table = _plain_table(text, 3)
    class_ids = None if table is None else table.integers(1, DIGITS)
    if table is None or class_ids is None or class_ids.min() < (-1 if classes is None else 0) or (
            classes is not None and class_ids.max() >= classes):
        table, lines = _tidied(text, path, lambda line, where: _classified(line, where, root, classes))
        class_ids = table.integers(1, DIGITS)
    return Samples(root, table, 2, 3, class_ids.astype(np.int32), lines)


def read_segmentation_list(path: str, root: str) -> Samples:
    """Samples of a segmentation list."""
    text, lines = plain_text(read_bytes(path), path), None
    table = _plain_table(text, 2)
    if table is None or any(mark in text for mark in (b" ", b",", b";")):
        table, lines = _tidied(text, path, lambda line, where: _paired(line, where, root))
    return Samples(root, table, 0, 1, lines=lines)


def list_task(path: str) -> str:
    """"classification" or "segmentation", as most of a list's first lines have three fields or not."""
    lines = [line for line in islice(each_line(plain_text(read_bytes(path), path)), _LOOKED_AT) if line.strip()]
    _require_some(lines, path)
    three = sum(len(_class_fields(line)) == 3 for line in lines)
    return "classification" if 2 * three > len(lines) else "segmentation"


def write_classification_list(path: str, samples: Iterable[Sample]) -> None:
    """Write `samples` as a classification list."""
    write_text(path, "".join(f"{i}\t{sample.class_id}\t{sample.image}\n" for i, sample in enumerate(samples)))


def write_segmentation_list(path: str, samples: Iterable[Sample]) -> None:
    """Write `samples` as a segmentation list."""
    write_text(path, "".join(sample.image + ("" if sample.label_image is None else f"\t{sample.label_image}") + "\n"
                             for sample in samples))


# Lists as this program writes them: no line is looked at on its own


def _plain_table(text: bytes, fields: int) -> Optional[Table]:
    """The table of a text in which nothing is odd: all lines, or of two fields some lines, have so many; else None."""
    if not text or text[:1] in (b" ", b"/", b"\n", b"\t") or any(mark in text for mark in _ODD):
        return None
    table = Table(text)
    return table if table.width <= fields and (fields == 2 or table.width == fields and table.is_even()) else None


# Lists as others write them


def _tidied(text: bytes, path: str, read_line: Callable[[str, str], Tuple[str, ...]]) -> Tuple[Table, np.ndarray]:
    """The table of what `read_line(line, where)` makes of every line that is not blank, and the lines' numbers."""
    tidy, numbers = bytearray(), []
    for number, line in enumerate(each_line(text), 1):
        if line.strip():
            fields = read_line(line, f"{path}:{number}")
            tidy += "\t".join(fields).encode("utf-8", "surrogateescape") + b"\n"
            numbers.append(number)
    _require_some(numbers, path)
    return Table(bytes(tidy)), np.array(numbers, np.int32)


def _require_some(lines: List, path: str) -> None:
    if not lines:
        raise ValueError(f"{path} names no image")


def _classified(line: str, where: str, root: str, classes: Optional[int]) -> Tuple[str, ...]:
    """Index, class and image of a line; ValueError, with `where`, if it has not got them."""
    fields = _class_fields(line)
    if len(fields) != 3:
        raise ValueError(f"{where}: {len(fields)} fields, wanted index<TAB>class<TAB>image; got {line[:80]!r}")
    text = fields[1].strip()
    whole = _WHOLE_FLOAT.fullmatch(text)
    text = whole.group(1) if whole else text
    unknown, number = classes is None and text == "-1", text.isdecimal() and len(text) <= DIGITS
    if not unknown and (not number or (classes is not None and int(text) >= classes)):
        wanted = f"a number of at most {DIGITS} digits" if classes is None else f"among 0 … {classes - 1}"
        raise ValueError(f"{where}: class {fields[1][:40]!r} is not {wanted}")
    return "0", str(int(text)), _path(fields[2], where, root)


def _class_fields(line: str) -> List[str]:
    """Fields of a line of a classification list: between tabs or, if there is none, whatever else gives two numbers."""
    if "\t" in line:
        return line.split("\t")
    for fields in (_between(line, ","), _between(line, ";"), line.split(None, 2)):
        if len(fields) == 3 and all(_is_number(field) for field in fields[:2]):
            return fields
    return [line]


def _paired(line: str, where: str, root: str) -> Tuple[str, ...]:
    """Image and label of a line, or the image alone; ValueError, with `where`, if that is not clear."""
    if "\t" in line:
        fields = line.split("\t")
    elif os.path.lexists(os.path.join(root, line)):
        fields = [line]  # a name with spaces or commas
    else:
        fields = _pair_fields(line, where)
    if len(fields) not in (1, 2):
        raise ValueError(f"{where}: {len(fields)} fields, wanted image<TAB>label; got {line[:80]!r}")
    return tuple(_path(field, where, root) for field in fields)


def _pair_fields(line: str, where: str) -> List[str]:
    """Fields of a line without a tab, each the name of an image."""
    for mark in ",;":
        fields = _between(line, mark)
        if len(fields) > 1 and all(_is_image(field) for field in fields):
            return fields
    ends = [match.end() for match in _AFTER_IMAGE.finditer(line.rstrip()) if _is_image(line)]
    if len(ends) > 1:
        raise ValueError(f"{where}: {line[:80]!r} may be divided at each of {len(ends)} spaces, wanted image<TAB>label")
    return [line[:ends[0]], line[ends[0]:]] if ends else [line]


def _between(line: str, mark: str) -> List[str]:
    return next(csv.reader([line.strip()], delimiter=mark, skipinitialspace=True))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*-?\d+(\.0*)?\s*", text) is not None


def _is_image(text: str) -> bool:
    return text.strip().lower().endswith(IMAGE_EXTENSIONS)


def _path(text: str, where: str, root: str) -> str:
    """A path as it is meant: without quotes and spaces around it and with slashes, unless it is there as it stands."""
    plain = text.strip()
    if len(plain) > 1 and plain[0] == plain[-1] == '"':
        plain = plain[1:-1].replace('""', '"')
    plain = plain.replace("\\", "/")
    return _inside(text if plain == text or os.path.lexists(os.path.join(root, text)) else plain, where)


def _inside(path: str, where: str) -> str:
    """`path`, if it stays below the data root."""
    normal = os.path.normpath(path)
    if not path or "\0" in path or os.path.isabs(normal) or _DRIVE.match(path) or normal.split(os.sep)[0] == "..":
        raise ValueError(f"{where}: the path {path!r} leaves the data root")
    return path
