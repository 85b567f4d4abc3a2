"""Samples, the images of a list with what belongs to them, and lists of them.

Classification: `index<TAB>class<TAB>image`. Segmentation: `image<TAB>label`, or `image` alone where there is no truth.
Paths are relative to the data root and stay below it; symbolic links there may lead anywhere, as their owner set them.

Lists of other programs are read where they say one thing only: classes as 3.000000 (MXNet's im2rec), commas,
semicolons or spaces for tabs, quotes (spreadsheets), backslashes, spaces around names, UTF-16, a mark in front, CR LF.
Where a name is there as it stands in the list, it is that name.
"""
import codecs
import contextlib
import copy
import csv
import functools
import io
import os
import re
import unicodedata
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.data.images import read_bytes
from ademxapp.files import write_text

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
DIGITS = 7  # of a class: batches hold them as float32, which has all numbers up to 2^24
_LOOKED_AT = 1000  # lines that tell a list's task
# Where a text has none of these, an image's path is what stands behind the second tab, and needs no second look.
_ODD = (b'"', b"\\", b"..", b"\t ", b" \n", b"\t\n", b"\t/", b":/")
_AFTER_IMAGE = re.compile(rf"(?<=\.)({'|'.join(name[1:] for name in IMAGE_EXTENSIONS)}) +", re.IGNORECASE)
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0*")
_DRIVE = re.compile(r"[A-Za-z]:/")


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
    def image_path(self) -> str:
        return self._path(self.image)

    @property
    def label_path(self) -> str:
        return self._path(self.label_image or "")

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def read(self) -> Tuple[bytes, Optional[bytes]]:
        """The bytes of the image's file and, or None, of the label's."""
        return _read(self.root, self.image), None if self.label_image is None else _read(self.root, self.label_image)


def _read(root: str, name: str) -> bytes:
    """The bytes of a file below `root`, also where its name is composed otherwise there (é as one sign or as two)."""
    try:
        return read_bytes(os.path.join(root, name))
    except FileNotFoundError:
        for form in ("NFC", "NFD"):
            with contextlib.suppress(FileNotFoundError):
                return read_bytes(os.path.join(root, unicodedata.normalize(form, name)))
        raise


class Samples(Sequence[Sample]):
    """The samples of a text, each made when it is asked for; a slice is of the same text.

    The text (bytes) has a line for each, with its line feed; tabs divide its fields. The one at `column` is the image,
    and the one behind it, where there is one, the label. Bytes that are no UTF-8 become surrogates, as in paths.
    `class_ids` are those of all samples (an int array), if they have any; `numbers` are int arrays of what else `make`
    takes, by name.
    """

    def __init__(self, root: str, text: bytes, column: int, class_ids: Optional[np.ndarray] = None,
                 make: Callable[..., Sample] = Sample, **numbers: np.ndarray) -> None:
        self.root, self.class_ids, self.numbers = root, class_ids, numbers
        self._text, self._column, self._make = text, column, make
        self._starts = np.append(-1, np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))) + 1
        self._rows = range(len(self._starts) - 1)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Union[int, slice]) -> Any:
        if isinstance(index, slice):
            part = copy.copy(self)
            part._rows = self._rows[index]
            return part
        row = self._rows[index]
        line = self._text[self._starts[row]:self._starts[row + 1] - 1].decode("utf-8", "surrogateescape")
        image, *label = line.split("\t")[self._column:]
        class_id = -1 if self.class_ids is None else int(self.class_ids[row])
        numbers = {name: int(values[row]) for name, values in self.numbers.items()}
        return self._make(self.root, image, class_id, label[0] if label else None, **numbers)

    def columns(self) -> Tuple[List[bytes], np.ndarray, List[bytes]]:
        """Images, classes and label images, or b"", of all, for less work than to make the samples."""
        first, last, step = self._rows[0], self._rows[-1], self._rows.step
        lines = self._text[self._starts[first]:self._starts[last + 1] - 1].split(b"\n")[::step]
        images = [line.split(b"\t")[self._column] for line in lines]
        if self.class_ids is not None:
            return images, self.class_ids[first:last + 1:step], [b""] * len(lines)
        labels = [b"".join(line.split(b"\t")[self._column + 1:]) for line in lines]
        return images, np.full(len(lines), -1), labels


def read_classification_list(path: str, root: str, classes: Optional[int] = None) -> Samples:
    """Samples of a classification list; class ids are in 0 … classes - 1, if that is given.

    Without `classes`, they may be -1 as well, where they are not known.
    """
    text = plain_text(path)
    try:
        if not text or any(mark in text for mark in _ODD):
            raise ValueError
        class_ids = _class_ids(text, classes)  # of a list as this program writes it: no line is looked at on its own
        lines = np.arange(1, len(class_ids) + 1, dtype=np.int32)
    except ValueError:
        text, lines = _tidied(text, path, lambda line: _classified(line, root, classes))
        class_ids = _class_ids(text, classes)
    return Samples(root, text, 2, class_ids, line=lines)


def read_segmentation_list(path: str, root: str) -> Samples:
    """Samples of a segmentation list."""
    text, lines = _tidied(plain_text(path), path, lambda line: _paired(line, root))
    return Samples(root, text, 0, line=lines)


def list_task(path: str) -> str:
    """"classification" or "segmentation", as most of a list's first lines have three fields or not."""
    lines = [line for line in islice(each_line(plain_text(path)), _LOOKED_AT) if line.strip()]
    if not lines:
        raise ValueError(f"{path} names no image")
    three = sum(len(_class_fields(line)) == 3 for line in lines)
    return "classification" if 2 * three > len(lines) else "segmentation"


def write_classification_list(path: str, samples: Iterable[Sample]) -> None:
    """Write `samples` as a classification list."""
    write_text(path, "".join(f"{i}\t{sample.class_id}\t{sample.image}\n" for i, sample in enumerate(samples)))


def write_segmentation_list(path: str, samples: Iterable[Sample]) -> None:
    """Write `samples` as a segmentation list."""
    write_text(path, "".join(sample.image + ("" if sample.label_image is None else f"\t{sample.label_image}") + "\n"
                             for sample in samples))


def plain_text(path: str) -> bytes:
    """A text file's bytes in UTF-8 and with line feeds, without a mark in front, whichever editor wrote them.

    Bytes that are no UTF-8 stay as they are, for names of files may have any. ValueError if it is no text.
    """
    data = read_bytes(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no list: {error}") from None
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8):]
    if b"\0" in data:
        raise ValueError(f"{path} is no list: it has zero bytes, as UTF-16 without a mark in front has them, or a file "
                         "of another kind; save it as UTF-8")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data if data.endswith(b"\n") or not data else data + b"\n"


def each_line(text: bytes) -> Iterator[str]:
    """The lines of a `plain_text` in turn; bytes that are no UTF-8 become surrogates."""
    return (line[:-1].decode("utf-8", "surrogateescape") for line in io.BytesIO(text))


def _class_ids(text: bytes, classes: Optional[int]) -> np.ndarray:
    """The classes (int32) of a text; ValueError if a line has not three fields, the second of them a class."""
    @functools.lru_cache(maxsize=None)
    def class_id(field: bytes) -> int:
        return _class_id(field.decode("utf-8", "surrogateescape"), classes)

    lines = (line.split(b"\t") for line in io.BytesIO(text))
    return np.fromiter((class_id(field) for _, field, _ in lines), np.int32)


def _tidied(text: bytes, path: str, read_line: Callable[[str], Sequence[str]]) -> Tuple[bytes, np.ndarray]:
    """The text of the fields that `read_line` finds in every line that is not blank, and the lines' numbers."""
    tidy, numbers = bytearray(), []
    for number, line in enumerate(each_line(text), 1):
        if line.strip():
            try:
                tidy += "\t".join(read_line(line)).encode("utf-8", "surrogateescape") + b"\n"
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            numbers.append(number)
    if not numbers:
        raise ValueError(f"{path} names no image")
    return bytes(tidy), np.array(numbers, np.int32)


def _classified(line: str, root: str, classes: Optional[int]) -> Tuple[str, str, str]:
    """Index, class and image of a line; ValueError if it has not got them."""
    fields = _class_fields(line)
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields, wanted index<TAB>class<TAB>image; got {line[:80]!r}")
    return "0", str(_class_id(fields[1], classes)), _path(fields[2], root)


def _class_id(field: str, classes: Optional[int]) -> int:
    """A class, also where it is written as a float."""
    text = field.strip()
    whole = _WHOLE_FLOAT.fullmatch(text)
    text = whole.group(1) if whole else text
    unknown, number = classes is None and text == "-1", text.isdecimal() and len(text) <= DIGITS
    if not unknown and (not number or (classes is not None and int(text) >= classes)):
        wanted = f"a number of at most {DIGITS} digits" if classes is None else f"among 0 … {classes - 1}"
        raise ValueError(f"class {field[:40]!r} is not {wanted}")
    return int(text)


def _class_fields(line: str) -> List[str]:
    """Fields of a line of a classification list: between tabs or, if there is none, whatever else gives two numbers."""
    if "\t" in line:
        return line.split("\t")
    for fields in (_between(line, ","), _between(line, ";"), line.split(None, 2)):
        if len(fields) == 3 and all(re.fullmatch(r"\s*-?\d+(\.0*)?\s*", field) for field in fields[:2]):
            return fields
    return [line]


def _paired(line: str, root: str) -> List[str]:
    """Image and label of a line, or the image alone; ValueError if that is not clear."""
    whole = "\t" in line or not re.search("[ ,;]", line) or os.path.lexists(os.path.join(root, line))
    fields = line.split("\t") if whole else _pair_fields(line)
    if len(fields) not in (1, 2):
        raise ValueError(f"{len(fields)} fields, wanted image<TAB>label; got {line[:80]!r}")
    return [_path(field, root) for field in fields]


def _pair_fields(line: str) -> List[str]:
    """Fields of a line without a tab, each the name of an image."""
    for mark in ",;":
        fields = _between(line, mark)
        if len(fields) > 1 and all(_is_image(field) for field in fields):
            return fields
    ends = [match.end() for match in _AFTER_IMAGE.finditer(line.rstrip()) if _is_image(line)]
    if len(ends) > 1:
        raise ValueError(f"{line[:80]!r} may be divided at each of {len(ends)} spaces, wanted image<TAB>label")
    return [line[:ends[0]], line[ends[0]:]] if ends else [line]


def _between(line: str, mark: str) -> List[str]:
    return next(csv.reader([line.strip()], delimiter=mark, skipinitialspace=True))


def _is_image(text: str) -> bool:
    return text.strip().lower().endswith(IMAGE_EXTENSIONS)


def _path(text: str, root: str) -> str:
    """A path as it is meant: without quotes and spaces around it and with slashes, unless it is there as it stands.

    ValueError if it leaves the data root.
    """
    path = text.strip()
    if len(path) > 1 and path[0] == path[-1] == '"':
        path = path[1:-1].replace('""', '"')
    path = path.replace("\\", "/")
    if path != text and os.path.lexists(os.path.join(root, text)):
        path = text
    upwards = ".." in path and os.path.normpath(path).split("/")[0] == ".."
    if not path or path.startswith("/") or _DRIVE.match(path) or upwards:
        raise ValueError(f"the path {path!r} leaves the data root")
    return path
