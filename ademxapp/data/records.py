"""RecordIO: a list's samples packed into one file, PREFIX.rec, with the places of its records in PREFIX.idx.

The framing is MXNet's, as `mx.recordio` reads and writes it; reading processes import no MXNet, so it stands here.
A record is a sample: MXNet's image header (`mx.recordio.IRHeader`: flag 0, class, number of the sample, bytes of the
image), then the image's file, then the label's. The last record, which the index leaves out, is the contents: what was
packed and how (a line of JSON), a line per sample with its place and its line of the list, and the contents' own place.
A file of MXNet's `im2rec` is read as well: its records have the same header, and no names.
"""
import json
import os
import struct
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.images import read_bytes
from ademxapp.data.lists import DIGITS
from ademxapp.data.samples import Sample, Samples
from ademxapp.data.tables import NO_NUMBER, Table, plain_text
from ademxapp.errors import UsageError

FORMAT, VERSION = "ademxapp records", 1
TASKS = ("classification", "segmentation")
MAGIC = struct.pack("<I", 0xCED7230A)
HEADER = struct.Struct("<IfQQ")  # flag, class, number, bytes of the image (im2rec: 0)
MAGIC_WORD = np.dtype("<u4")
_FRAME = struct.Struct("<4sI")  # magic; kind of part in 3 bits, its length in 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_DIGITS = 18  # of a number in an index or the contents, at most: more are no place
_PLACE = 16  # hexadecimal digits of the contents' place


def frame(payload: bytes) -> bytes:
    """A record as it lies in the file (bytes). Parts end where the payload has the magic number, which is left out."""
    if len(payload) >= 1 << 29:
        raise ValueError(f"a record of {len(payload)} bytes: RecordIO takes less than {1 << 29}")
    words = np.frombuffer(payload, MAGIC_WORD, len(payload) // 4)
    cuts = (4 * np.flatnonzero(words == np.frombuffer(MAGIC, MAGIC_WORD))).tolist()
    pieces = []
    for number, (start, end) in enumerate(zip([0] + [cut + 4 for cut in cuts], cuts + [len(payload)])):
        kind = _WHOLE if not cuts else _FIRST if number == 0 else _LAST if number == len(cuts) else _MIDDLE
        pieces += [_FRAME.pack(MAGIC, kind << 29 | (end - start)), payload[start:end]]
    return b"".join(pieces) + bytes(-len(payload) % 4)


class RecordFile:
    """Random access to the records of a file. Threads may share it; pickled, it opens the file again."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def __reduce__(self) -> Tuple:
        return RecordFile, (self.path,)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def read(self, place: int) -> Tuple[bytes, int]:
        """The payload of the record at a byte, and the byte behind it; ValueError if there is no whole record."""
        start, parts, wanted = place, [], (_WHOLE, _FIRST)
        while True:
            magic, word = _FRAME.unpack(self.bytes(place, _FRAME.size, start))
            kind, length = word >> 29, word & (1 << 29) - 1
            if magic != MAGIC or kind not in wanted:
                raise ValueError(f"{self.path} has no record at byte {start}: it is damaged, or the index is not its "
                                 "own; pack the list again")
            parts.append(self.bytes(place + _FRAME.size, length, start))
            place += _FRAME.size + length + -length % 4
            if kind in (_WHOLE, _LAST):
                return MAGIC.join(parts), place
            wanted = (_MIDDLE, _LAST)

    def bytes(self, place: int, count: int, start: Optional[int] = None) -> bytes:
        """`count` bytes from `place` on."""
        data = os.pread(self._handle, count, place) if 0 <= place <= self.size - count else b""
        if len(data) < count:
            raise ValueError(f"{self.path} ends at byte {self.size}, within the record at byte "
                             f"{place if start is None else start}: it was cut short; pack the list again")
        return data


@dataclass(frozen=True)
class RecordSample(Sample):
    """A sample in a record: as its file was, with the same names. `root` is the record file's path."""

    file: RecordFile = None  # type: ignore[assignment]  # always given: the fields before it have defaults
    place: int = 0
    number: int = 0

    @property
    def image_path(self) -> str:
        return f"{self.root}:{self.image}"

    @property
    def label_path(self) -> str:
        return f"{self.root}:{self.label_image}"

    def read(self) -> Tuple[bytes, Optional[bytes]]:
        """The bytes of the image's file and, or None, of the label's."""
        payload, _ = self.file.read(self.place)
        _, _, number, length = HEADER.unpack_from(payload.ljust(HEADER.size))
        if number != self.number:
            raise ValueError(f"{self.root}: the record at byte {self.place} is not that of {self.image}: the file "
                             "is damaged, or another than it was")
        end = HEADER.size + length if length else len(payload)
        return payload[HEADER.size:end], None if self.label_image is None else payload[end:]


class RecordSamples(Samples):
    """The samples of a record file, as `Samples`; `places` and `numbers` are those of the records."""

    def __init__(self, file: RecordFile, table: Table, image: int, class_ids: Optional[np.ndarray], places: np.ndarray,
                 numbers: np.ndarray) -> None:
        super().__init__(file.path, table, image, image + 1, class_ids)
        self._file, self._places, self._numbers = file, places, numbers

    def _sample(self, row: int) -> RecordSample:
        return RecordSample(self.root, *self._fields(row), file=self._file, place=int(self._places[row]),
                            number=int(self._numbers[row]))


def contents_record(about: Dict[str, Any], rows: Sequence[Tuple[int, Sequence[str]]], place: int) -> bytes:
    """The payload of the contents, to lie at byte `place`.

    `about` is a dictionary with at least "task"; `rows` are (place, fields of the list's line) of every sample.
    """
    about = {"format": FORMAT, "version": VERSION, "samples": len(rows), **about}
    lines = [json.dumps(about, ensure_ascii=False)]
    lines += ["\t".join(map(str, (row, *fields))) for row, fields in rows]
    return ("\n".join(lines) + f"\n{place:0{_PLACE}x}").encode("utf-8", "surrogateescape")


def read_contents(file: RecordFile) -> Optional[Tuple[Dict[str, Any], Table]]:
    """What a record file says of itself, as for `contents_record`; None if there is no contents."""
    tail = file.bytes(max(0, file.size - _PLACE - 3), min(file.size, _PLACE + 3)).rstrip(b"\0")[-_PLACE:]
    try:
        payload, end = file.read(int(tail, 16))
        first, last = payload.index(b"\n") + 1, payload.rindex(b"\n") + 1
        about, payload = json.loads(payload[:first]), payload[first:last]
        table = Table(payload)
        if about["format"] != FORMAT or end != file.size:
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if about.get("version") != VERSION:
        raise ValueError(f"{file.path} has version {about.get('version')!r} of its format, this program reads "
                         f"{VERSION}")
    widths = {"classification": (3,), "segmentation": (2, 3)}.get(str(about.get("task")), ())
    if len(table) and (table.width not in widths or (widths == (3,) and not table.is_even())) or not widths:
        raise ValueError(f"{file.path}: its contents are damaged; pack the list again")
    return about, table


def places_of(file: RecordFile, table: Table) -> np.ndarray:
    """Where the records of the contents' rows lie (int64)."""
    places = table.integers(0, _DIGITS)
    if (places < 0).any():
        raise ValueError(f"{file.path}: its contents are damaged: a place is no number; pack the list again")
    return places


def index_text(places: Iterable[int]) -> str:
    """The text of an index: a line per sample with its number and the place of its record."""
    return "".join(f"{number}\t{place}\n" for number, place in enumerate(places))


def read_records(prefix: str, classes: Optional[int] = None, unknown: bool = False) -> Samples:
    """Samples of PREFIX.rec, in the order of the list that was packed.

    With `classes`, of a classification: class ids are in 0 … classes - 1, or -1 where `unknown` ones are allowed; else
    of a segmentation.
    """
    path, index = f"{prefix}.rec", f"{prefix}.idx"
    file, (keys, places) = RecordFile(path), _read_index(index)
    contents = read_contents(file)
    task = "classification" if contents is None else contents[0]["task"]
    if contents is None:
        samples, class_ids = _im2rec_samples(file, keys, places)
    else:
        _require_fit(index, keys, places, places_of(file, contents[1]))
        samples, class_ids = _samples(file, contents[1], task, places)
    wanted = "segmentation" if classes is None else "classification"
    if task != wanted:
        raise UsageError(f"{path} is packed from a {task} list, wanted one for {wanted}")
    if not len(samples):
        raise ValueError(f"{index} names no image")
    if classes is not None and class_ids is not None:
        outside = np.flatnonzero((class_ids >= classes) | (class_ids < (-1 if unknown else 0)))
        for sample in samples[outside[0]:][:1] if len(outside) else ():
            raise ValueError(f"{path}: {sample.image} has class {sample.class_id}, which is not among "
                             f"0 … {classes - 1}")
    return samples


def _samples(file: RecordFile, table: Table, task: str, places: np.ndarray) -> Tuple[Samples, Optional[np.ndarray]]:
    """Samples of the rows of the contents, and their classes."""
    numbers = np.arange(len(table))
    if task == "segmentation":
        return RecordSamples(file, table, 1, None, places, numbers), None
    class_ids = table.integers(1, DIGITS)
    if (class_ids == NO_NUMBER).any():
        raise ValueError(f"{file.path}: its contents are damaged: a class is no number; pack the list again")
    return RecordSamples(file, table, 2, class_ids, places, numbers), class_ids


def _im2rec_samples(file: RecordFile, keys: np.ndarray, places: np.ndarray) -> Tuple[Samples, np.ndarray]:
    """Samples, and classes, of a file of MXNet's im2rec, whose records have classes but no names."""
    class_ids, numbers, size = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.uint64), _FRAME.size + HEADER.size
    for row, (key, place) in enumerate(zip(keys.tolist(), places.tolist())):
        head = file.bytes(place, size, place)
        flag, class_id, number, length = HEADER.unpack(head[_FRAME.size:])
        if head[:len(MAGIC)] != MAGIC:
            file.read(place)  # tells what is wrong
        if length:
            raise ValueError(f"{file.path} has no contents at its end: it was cut short; pack the list again")
        if flag or not class_id.is_integer() or abs(class_id) >= 10 ** DIGITS:
            raise ValueError(f"{file.path}: record {key} is no image with one class: of records that are not of "
                             "tools/pack.py, only those of MXNet's im2rec with a class each are read")
        class_ids[row], numbers[row] = int(class_id), number
    if len(places) and file.read(int(places.max()))[1] != file.size:
        raise ValueError(f"{file.path} goes on behind the last of the {len(places)} records of its .idx: the index is "
                         "not its own")
    names = Table("".join(f"record {key}\n" for key in keys.tolist()).encode())
    return RecordSamples(file, names, 0, class_ids, places, numbers), class_ids


def _read_index(path: str) -> Tuple[np.ndarray, np.ndarray]:
    """Key and place of every line of an index."""
    table = Table(plain_text(read_bytes(path), path))
    if len(table) and (table.width != 2 or not table.is_even()):
        columns = None
    else:
        columns = [table.integers(column, _DIGITS) if len(table) else np.zeros(0, np.int64) for column in (0, 1)]
    if columns is None or any((column < 0).any() for column in columns):
        raise ValueError(f"{path} is no index of a record file: wanted a number, a tab and a number on every line")
    return columns[0], columns[1]


def _require_fit(path: str, keys: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> None:
    """ValueError unless an index, of these keys and places, is what its record file says."""
    if len(found) != len(wanted):
        raise ValueError(f"{path} does not fit its .rec: {len(found)} lines for {len(wanted)} samples; pack the list "
                         "again")
    for row in np.flatnonzero((found != wanted) | (keys != np.arange(len(keys))))[:1].tolist():
        raise ValueError(f"{path}:{row + 1} does not fit the .rec: it says {(int(keys[row]), int(found[row]))}, the "
                         f".rec has {(row, int(wanted[row]))} (sample, byte); pack the list again")
