"""Samples: the images of a list with what belongs to them, and many of them in little memory."""
import contextlib
import copy
import os
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.data.images import read_bytes
from ademxapp.data.tables import Table


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
        return os.path.join(self.root, self.image)

    @property
    def label_path(self) -> str:
        assert self.label_image is not None
        return os.path.join(self.root, self.label_image)

    def read(self) -> Tuple[bytes, Optional[bytes]]:
        """The bytes of the image's file and, or None, of the label's."""
        return read_file(self.root, self.image), None if self.label_image is None else read_file(
            self.root, self.label_image)


def read_file(root: str, name: str) -> bytes:
    """The bytes of a file below `root`, also where its name is composed otherwise there (é as one sign or as two)."""
    try:
        return read_bytes(os.path.join(root, name))
    except FileNotFoundError:
        for form in ("NFC", "NFD"):
            with contextlib.suppress(FileNotFoundError):
                return read_bytes(os.path.join(root, unicodedata.normalize(form, name)))
        raise


class Samples(Sequence[Sample]):
    """The samples of a table, each made when it is asked for; a slice is of the same table.

    Parameters
    ----------
    root : str
    table : Table
    image, label : int
        Columns of the paths; no label where there is no such column.
    class_ids : ndarray, optional
        Of every row; -1 where they are not known.
    lines : ndarray, optional
        Of every row, the line in the list; the rows' numbers from 1 on, if not given.
    """

    def __init__(self, root: str, table: Table, image: int, label: int, class_ids: Optional[np.ndarray] = None,
                 lines: Optional[np.ndarray] = None) -> None:
        self.root, self._table, self._image, self._label = root, table, image, label
        self._class_ids, self._lines, self._rows = class_ids, lines, range(len(table))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Union[int, slice]) -> Any:
        if not isinstance(index, slice):
            return self._sample(self._rows[index])
        part = copy.copy(self)
        part._rows = self._rows[index]
        return part

    def blocks(self, size: int) -> Iterator[Tuple[bytes, np.ndarray, bytes]]:
        """Images, classes (int32) and label images of every `size` samples; each name has a line feed behind it."""
        for first in range(0, len(self), size):
            rows = self._rows[first:first + size]
            if rows.step != 1:
                yield from blocks_of(list(self[first:first + size]), size)
                continue
            classes = np.full(len(rows), -1) if self._class_ids is None else self._class_ids[rows.start:rows.stop]
            labels = self._label < self._table.width
            yield (self._table.column(self._image, rows.start, rows.stop), classes.astype(np.int32),
                   self._table.column(self._label, rows.start, rows.stop) if labels else b"\n" * len(rows))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(
            one == another for one, another in zip(self, other))

    def __repr__(self) -> str:
        return f"<{len(self)} samples below {self.root}>"

    def _sample(self, row: int) -> Sample:
        return Sample(self.root, *self._fields(row), line=row + 1 if self._lines is None else int(self._lines[row]))

    def _fields(self, row: int) -> Tuple[str, int, Optional[str]]:
        """A row's image, class and label image."""
        label = self._table.field(row, self._label) if self._label < self._table.width else None
        return (self._table.field(row, self._image) or "", -1 if self._class_ids is None else int(self._class_ids[row]),
                label)


def blocks_of(samples: Sequence[Sample], size: int) -> Iterator[Tuple[bytes, np.ndarray, bytes]]:
    """As `Samples.blocks`, of any samples."""
    if isinstance(samples, Samples):
        yield from samples.blocks(size)
        return
    for first in range(0, len(samples), size):
        part = samples[first:first + size]
        names, labels = ("".join(f"{name}\n" for name in column).encode("utf-8", "surrogateescape") for column in (
            (sample.image for sample in part), (sample.label_image or "" for sample in part)))
        yield names, np.array([sample.class_id for sample in part], np.int32), labels


def samples_of_classes(root: str, rows: Iterable[Tuple[int, str]]) -> Samples:
    """Samples of (class, image); ValueError for a name that no list can hold."""
    text, class_ids = bytearray(), []
    for class_id, image in rows:
        if any(mark in image for mark in "\t\r\n"):
            raise ValueError(f"{os.path.join(root, image)!r} has a tab or a line break in its name: rename it")
        text += image.encode("utf-8", "surrogateescape") + b"\n"
        class_ids.append(class_id)
    return Samples(root, Table(bytes(text)), 0, 1, np.array(class_ids, np.int32), np.zeros(len(class_ids), np.int32))
