"""Text of many lines as a table, which holds the bytes and where the fields end: some bytes a line besides."""
import codecs
import io
from typing import Iterator, Optional

import numpy as np

TAB, LINE = 9, 10
NO_NUMBER = -2
_BLOCK = 2 ** 24  # bytes that are looked through at a time


class Table:
    """Rows of fields.

    Parameters
    ----------
    text : bytes
        Lines, each with its line feed; tabs divide their fields. Some lines may have fewer fields than others.
    """

    def __init__(self, text: bytes) -> None:
        self.text, self._data = text, np.frombuffer(text, np.uint8)
        kind = np.uint32 if len(text) < 2 ** 32 else np.int64
        marks = np.concatenate([np.zeros(0, kind), *(
            (np.flatnonzero(_is_mark(self._data[first:first + _BLOCK])) + first).astype(kind)
            for first in range(0, len(text), _BLOCK))])
        last = np.flatnonzero(self._data[marks] == LINE)
        counts = np.diff(last, prepend=-1)
        self._ends = _aligned(marks, last, counts)  # (rows, most fields): that of the line where a field is missing

    def __len__(self) -> int:
        return len(self._ends)

    def __getstate__(self) -> bytes:
        return self.text

    def __setstate__(self, text: bytes) -> None:
        Table.__init__(self, text)

    @property
    def width(self) -> int:
        """Fields of the longest line."""
        return self._ends.shape[1]

    def is_even(self) -> bool:
        """Whether all lines have `width` fields."""
        return bool((self._ends[:, 1:] != self._ends[:, :-1]).all())

    def field(self, row: int, column: int) -> Optional[str]:
        """A field; None if the line does not reach as far. Bytes that are no UTF-8 become surrogates, as in paths."""
        start = int(self._ends[row, column - 1]) + 1 if column else int(self._ends[row - 1, -1]) + 1 if row else 0
        end = int(self._ends[row, column])
        return self.text[start:end].decode("utf-8", "surrogateescape") if start <= end else None

    def column(self, column: int, first: int, last: int) -> bytes:
        """The fields of a column in rows `first` … `last` - 1, each with a line feed; one that is missing is empty."""
        ends = self._ends[first:last, column].astype(np.int64)
        before = self._ends[first:last, column - 1] if column else np.concatenate(
            (self._ends[first - 1:first, -1] if first else [-1], self._ends[first:last - 1, -1]))
        starts = before.astype(np.int64) + 1
        lengths = np.maximum(ends - starts, 0)
        fields = np.full(lengths.sum() + len(lengths), LINE, np.uint8)
        shift = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)  # of a letter, from its place without feeds
        fields[np.arange(len(shift)) + np.repeat(np.arange(len(lengths)), lengths)] = \
            self._data[np.arange(len(shift)) + shift]
        return fields.tobytes()

    def integers(self, column: int, digits: int) -> np.ndarray:
        """A column as int64: numbers of at most so many digits, or -1; NO_NUMBER where there is something else."""
        ends = self._ends[:, column].astype(np.int64)
        before = self._ends[:, column - 1] if column else np.roll(self._ends[:, -1], 1)
        starts = before.astype(np.int64) + 1
        starts[:0 if column else 1] = 0
        lengths = ends - starts
        values = np.where((lengths > 0) & (lengths <= digits), 0, NO_NUMBER)
        minus_one = (lengths == 2) & self._is_at(starts, "-") & self._is_at(starts + 1, "1")
        for place in range(min(digits, int(lengths.max(initial=0)))):
            inside = np.flatnonzero((lengths > place) & (values >= 0))
            digit = self._data[starts[inside] + place].astype(np.int64) - ord("0")
            values[inside] = np.where((digit >= 0) & (digit <= 9), 10 * values[inside] + digit, NO_NUMBER)
        values[minus_one] = -1
        return values

    def _is_at(self, places: np.ndarray, letter: str) -> np.ndarray:
        return self._data[np.minimum(places, len(self._data) - 1)] == ord(letter)


def _is_mark(data: np.ndarray) -> np.ndarray:
    return (data == TAB) | (data == LINE)


def _aligned(marks: np.ndarray, last: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ends of fields by row and column, of all `marks`, of which the `last` ones end the lines."""
    width = int(counts.max(initial=1))
    if (counts == width).all():
        return marks[:len(counts) * width].reshape(-1, width)
    rows = np.repeat(np.arange(len(last)), counts)
    columns = np.arange(len(rows)) - np.repeat(last + 1 - counts, counts)
    ends = np.repeat(marks[last][:, None], width, 1)
    ends[rows, columns] = marks[:len(rows)]
    return ends


def plain_text(data: bytes, name: str) -> bytes:
    """A text file's bytes in UTF-8 and with line feeds, without a mark in front, whichever editor wrote them.

    Bytes that are no UTF-8 stay as they are, for names of files may have any. ValueError, which calls the file `name`,
    if it is no text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is no list: {error}") from None
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8):]
    if b"\0" in data:
        raise ValueError(f"{name} is no list: it has zero bytes, as UTF-16 without a mark in front has them, or a file "
                         "of another kind; save it as UTF-8")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data if data.endswith(b"\n") or not data else data + b"\n"


def each_line(text: bytes) -> Iterator[str]:
    """The lines of a `plain_text` in turn; bytes that are no UTF-8 become surrogates."""
    return (line[:-1].decode("utf-8", "surrogateescape") for line in io.BytesIO(text))
