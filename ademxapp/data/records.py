"""RecordIO: a list's samples packed into one file, PREFIX.rec, with the places of its records in PREFIX.idx.

The framing is MXNet's, as `mx.recordio` reads and writes it; reading processes import no MXNet, so it stands here.
A record is a sample: MXNet's image header (`mx.recordio.IRHeader`: flag 0, class, number of the sample, bytes of the
image), then the image's file, then the label's. The last record, which the index leaves out, is the contents: what was
packed and how (a line of JSON), a line per sample with its place and its line of the list, and the contents' own place.
A file of MXNet's `im2rec` is read as well: its records have the same header, and no names.
"""
import json
import os
import re
import struct
from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.lists import DIGITS, Sample, Samples, plain_text
from ademxapp.errors import UsageError

FORMAT, VERSION = "ademxapp records", 1
TASKS = {"classification": (3,), "segmentation": (2, 3)}  # and how many fields a line of their contents may have
MAGIC = struct.pack("<I", 0xCED7230A)
HEADER = struct.Struct("<IfQQ")  # flag, class, number, bytes of the image (im2rec: 0)
_FRAME = struct.Struct("<4sI")  # magic; kind of part in 3 bits, its length in 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_NO_INDEX = re.compile(rb"^(?!\d{1,18}\t\d{1,18}\n|\Z)", re.MULTILINE)  # a line that is not of two numbers
_BLOCK = 2 ** 22  # bytes of the contents that are looked through at a time
_PLACE = 16  # hexadecimal digits of the contents' place


def frame(payload: bytes) -> bytes:
    """A record as it lies in the file (bytes). Parts end where the payload has the magic number, which is left out."""
    if len(payload) >= 1 << 29:
        raise ValueError(f"a record of {len(payload)} bytes: RecordIO takes less than {1 << 29}")
    words = np.frombuffer(payload, "<u4", len(payload) // 4)
    cuts = (4 * np.flatnonzero(words == np.frombuffer(MAGIC, "<u4"))).tolist()
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

    def _path(self, name: str) -> str:
        return f"{self.root}:{name}"

    def read(self) -> Tuple[bytes, Optional[bytes]]:
        """The bytes of the image's file and, or None, of the label's."""
        payload, _ = self.file.read(self.place)
        _, _, number, length = HEADER.unpack_from(payload.ljust(HEADER.size))
        if number != self.number:
            raise ValueError(f"{self.root}: the record at byte {self.place} is not that of {self.image}: the file "
                             "is damaged, or another than it was")
        end = HEADER.size + length if length else len(payload)
        return payload[HEADER.size:end], None if self.label_image is None else payload[end:]


def contents_record(about: Dict[str, Any], rows: Sequence[Tuple[int, Sequence[str]]], place: int) -> bytes:
    """The payload of the contents, to lie at byte `place`.

    `about` is a dictionary with at least "task"; `rows` are (place, fields of the list's line) of every sample.
    """
    about = {"format": FORMAT, "version": VERSION, "samples": len(rows), **about}
    lines = [json.dumps(about, ensure_ascii=False)]
    lines += ["\t".join(map(str, (row, *fields))) for row, fields in rows]
    return ("\n".join(lines) + f"\n{place:0{_PLACE}x}").encode("utf-8", "surrogateescape")


def read_contents(file: RecordFile) -> Optional[Tuple[Dict[str, Any], Samples]]:
    """What a record file says of itself, `about` as for `contents_record` and its samples; None if it says nothing."""
    tail = file.bytes(max(0, file.size - _PLACE - 3), min(file.size, _PLACE + 3)).rstrip(b"\0")[-_PLACE:]
    try:
        text, end = file.read(int(tail, 16))
        first, last = text.index(b"\n") + 1, text.rindex(b"\n") + 1
        about, text = json.loads(text[:first]), text[first:last]
        if about["format"] != FORMAT or end != file.size:
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if about.get("version") != VERSION:
        raise ValueError(f"{file.path} has version {about.get('version')!r} of its format, this program reads "
                         f"{VERSION}")
    places, class_ids = _columns(text, str(about.get("task")), f"{file.path}: its contents are damaged")
    return about, Samples(file.path, text, 1 if class_ids is None else 2, class_ids, partial(RecordSample, file=file),
                          place=places, number=np.arange(len(places)))


def _columns(text: bytes, task: str, damaged: str) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Places and, or None, classes of the contents' lines; ValueError that begins with the words `damaged`."""
    columns, start = 2 if task == "classification" else 1, 0
    found = [np.zeros((0, columns), np.int64)]
    if task not in TASKS:
        raise ValueError(f"{damaged}; pack the list again")
    while start < len(text):  # in blocks, for less memory
        end = text.find(b"\n", start + _BLOCK) + 1 or len(text)
        found.append(_numbers(np.frombuffer(text, np.uint8)[start:end], TASKS[task], columns, damaged))
        start = end
    places, *class_ids = np.concatenate(found).T
    return places, class_ids[0] if class_ids else None


def _numbers(data: np.ndarray, fields: Sequence[int], columns: int, damaged: str) -> np.ndarray:
    """The numbers in the first columns of lines (bytes), each of one of so many fields: (lines, columns) int64."""
    tabs, ends = np.flatnonzero(data == ord("\t")), np.flatnonzero(data == ord("\n"))
    starts = np.append(0, ends + 1)[:-1]
    first = np.searchsorted(tabs, starts)
    if not set(np.unique(np.diff(first, append=len(tabs)) + 1)) <= set(fields):
        raise ValueError(f"{damaged}; pack the list again")
    numbers = np.zeros(len(data), np.int8)  # 1 at the bytes of a line's numbers, and the tabs behind them
    numbers[starts], numbers[tabs[first + columns - 1] + 1] = 1, -1
    kept = data[np.cumsum(numbers, dtype=np.int8, out=numbers).view(bool)].tobytes()
    plain = kept.replace(b"\t-1\t", b"\t1\t")
    digits = np.diff(np.flatnonzero(np.frombuffer(plain, np.uint8) == ord("\t")), prepend=-1) - 1  # of each number
    if plain.translate(None, b"0123456789\t") or not ((0 < digits) & (digits < 19)).all():
        raise ValueError(f"{damaged}: a place or a class is no number; pack the list again")
    return np.fromstring(kept, np.int64, sep="\t").reshape(-1, columns)


def index_text(places: Iterable[int]) -> str:
    """The text of an index: a line per sample with its number and the place of its record."""
    return "".join(f"{number}\t{place}\n" for number, place in enumerate(places))


def read_records(prefix: str, classes: Optional[int] = None, unknown: bool = False) -> Samples:
    """Samples of PREFIX.rec, in the order of the list that was packed.

    With `classes`, of a classification: class ids are in 0 … classes - 1, or -1 where `unknown` ones are allowed; else
    of a segmentation.
    """
    path, index = f"{prefix}.rec", f"{prefix}.idx"
    file, text = RecordFile(path), plain_text(index)
    if _NO_INDEX.search(text):
        raise ValueError(f"{index} is no index of a record file: wanted a number, a tab and a number on every line")
    keys, places = np.fromstring(text, np.int64, sep="\t").reshape(-1, 2).T
    contents = read_contents(file)
    if contents is None:
        task, samples = "classification", _im2rec_samples(file, keys, places)
    else:
        about, samples = contents
        task = about["task"]
        _require_fit(index, keys, places, samples.numbers["place"])
    wanted = "segmentation" if classes is None else "classification"
    if task != wanted:
        raise UsageError(f"{path} is packed from a {task} list, wanted one for {wanted}")
    if not len(samples):
        raise ValueError(f"{index} names no image")
    if classes is not None and samples.class_ids is not None:
        outside = (samples.class_ids >= classes) | (samples.class_ids < (-1 if unknown else 0))
        for row in np.flatnonzero(outside)[:1].tolist():
            raise ValueError(f"{path}: {samples[row].image} has class {samples.class_ids[row]}, which is not among 0 … "
                             f"{classes - 1}")
    return samples


def _im2rec_samples(file: RecordFile, keys: np.ndarray, places: np.ndarray) -> Samples:
    """Samples of a file of MXNet's im2rec, whose records have classes but no names."""
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
    names = "".join(f"record {key}\n" for key in keys.tolist()).encode()
    return Samples(file.path, names, 0, class_ids, partial(RecordSample, file=file), place=places, number=numbers)


def _require_fit(path: str, keys: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> None:
    """ValueError unless an index, of these keys and places, is what its record file says."""
    if len(found) != len(wanted):
        raise ValueError(f"{path} does not fit its .rec: {len(found)} lines for {len(wanted)} samples; pack the list "
                         "again")
    for row in np.flatnonzero((found != wanted) | (keys != np.arange(len(keys))))[:1].tolist():
        raise ValueError(f"{path}:{row + 1} does not fit the .rec: it says {(int(keys[row]), int(found[row]))}, the "
                         f".rec has {(row, int(wanted[row]))} (sample, byte); pack the list again")
