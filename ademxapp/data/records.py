"""RecordIO: a list's samples packed into one file, PREFIX.rec, with the places of its records in PREFIX.idx.

The framing is MXNet's, as `mx.recordio` reads and writes it; reading processes import no MXNet, so it stands here.
A record is a sample: MXNet's image header (`mx.recordio.IRHeader`: flag 0, class, number of the sample, bytes of the
image), then the image's file, then the label's. The last record, which the index leaves out, is the contents: what was
packed and how (a line of JSON), a line per sample with its place and its line of the list, and the contents' own place.
A file of MXNet's `im2rec` is read as well: its records have the same header, and no names.
"""
import json
import os
import reprlib
import struct
from dataclasses import dataclass

import numpy as np

from ademxapp.errors import UsageError
from ademxapp.data.lists import Sample

FORMAT, VERSION = "ademxapp records", 1
TASKS = ("classification", "segmentation")
MAGIC = struct.pack("<I", 0xCED7230A)
HEADER = struct.Struct("<IfQQ")  # flag, class, number, bytes of the image (im2rec: 0)
MAGIC_WORD = np.dtype("<u4")
_FRAME = struct.Struct("<4sI")  # magic; kind of part in 3 bits, its length in 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_DIGITS = 20  # of a number in an index that are read: more are no place
_PLACE = 16  # hexadecimal digits of the contents' place


def frame(payload):
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

    def __init__(self, path):
        self.path = path
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    def __reduce__(self):
        return RecordFile, (self.path,)

    def __del__(self):
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def read(self, place):
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

    def bytes(self, place, count, start=None):
        """`count` bytes from `place` on."""
        data = os.pread(self._handle, count, place) if 0 <= place <= self.size - count else b""
        if len(data) < count:
            raise ValueError(f"{self.path} ends at byte {self.size}, within the record at byte "
                             f"{place if start is None else start}: it was cut short; pack the list again")
        return data


@dataclass(frozen=True)
class RecordSample(Sample):
    """A sample in a record: as its file was, with the same names. `root` is the record file's path."""

    file: RecordFile = None
    place: int = 0
    number: int = 0

    @property
    def image_path(self):
        return f"{self.root}:{self.image}"

    @property
    def label_path(self):
        return f"{self.root}:{self.label_image}"

    def read(self):
        """The bytes of the image's file and, or None, of the label's."""
        payload, _ = self.file.read(self.place)
        _, _, number, length = HEADER.unpack_from(payload.ljust(HEADER.size))
        if number != self.number:
            raise ValueError(f"{self.root}: the record at byte {self.place} is not that of {self.image}: the file "
                             "is damaged, or another than it was")
        end = HEADER.size + length if length else len(payload)
        return payload[HEADER.size:end], None if self.label_image is None else payload[end:]


def contents_record(about, rows, place):
    """The payload of the contents, to lie at byte `place`.

    `about` is a dictionary with at least "task"; `rows` are (place, fields of the list's line) of every sample.
    """
    about = {"format": FORMAT, "version": VERSION, "samples": len(rows), **about}
    lines = [json.dumps(about, ensure_ascii=False)]
    lines += ["\t".join(map(str, (row, *fields))) for row, fields in rows]
    return ("\n".join(lines) + f"\n{place:0{_PLACE}x}").encode()


def read_contents(file):
    """What a record file says of itself: (dictionary, rows) as for `contents_record`; None if there is no contents."""
    tail = file.bytes(max(0, file.size - _PLACE - 3), min(file.size, _PLACE + 3)).rstrip(b"\0")[-_PLACE:]
    try:
        place = int(tail, 16)
        payload, end = file.read(place)
        about, *lines, _ = payload.decode().split("\n")
        about = json.loads(about)
        rows = [(int(place), tuple(fields)) for place, *fields in (line.split("\t") for line in lines)]
        if about["format"] != FORMAT or end != file.size:
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if about.get("version") != VERSION:
        raise ValueError(f"{file.path} has version {about.get('version')!r} of its format, this program reads "
                         f"{VERSION}")
    widths = {"classification": (2,), "segmentation": (1, 2)}.get(str(about.get("task")), ())
    if any(len(fields) not in widths for _, fields in rows) or not widths:
        raise ValueError(f"{file.path}: its contents are damaged; pack the list again")
    return about, rows


def index_text(places):
    """The text of an index: a line per sample with its number and the place of its record."""
    return "".join(f"{number}\t{place}\n" for number, place in enumerate(places))


def read_records(prefix, classes=None, unknown=False):
    """Samples (list of `RecordSample`) of PREFIX.rec, in the order of the list that was packed.

    With `classes`, of a classification: class ids are in 0 … classes - 1, or -1 where `unknown` ones are allowed; else
    of a segmentation.
    """
    path, index = f"{prefix}.rec", f"{prefix}.idx"
    file, places = RecordFile(path), _read_index(index)
    contents = read_contents(file)
    if contents is None:
        task, samples = "classification", _im2rec_samples(file, places)
    else:
        task, samples = contents[0]["task"], _samples(file, contents[1], contents[0]["task"])
        _require_fit(index, places, [(sample.number, sample.place) for sample in samples])
    wanted = "segmentation" if classes is None else "classification"
    if task != wanted:
        raise UsageError(f"{path} is packed from a {task} list, wanted one for {wanted}")
    if not samples:
        raise ValueError(f"{index} names no image")
    for sample in samples:
        if classes is not None and not (0 <= sample.class_id < classes or unknown and sample.class_id == -1):
            raise ValueError(f"{path}: {sample.image} has class {sample.class_id}, which is not among "
                             f"0 … {classes - 1}")
    return samples


def _samples(file, rows, task):
    if task == "classification":
        try:
            return [RecordSample(file.path, image, int(class_id), file=file, place=place, number=number)
                    for number, (place, (class_id, image)) in enumerate(rows)]
        except ValueError as error:
            raise ValueError(f"{file.path}: its contents are damaged: {error}; pack the list again") from None
    return [RecordSample(file.path, names[0], label_image=names[1] if len(names) == 2 else None, file=file,
                         place=place, number=number) for number, (place, names) in enumerate(rows)]


def _im2rec_samples(file, places):
    """Samples of a file of MXNet's im2rec, whose records have classes but no names."""
    samples, size = [], _FRAME.size + HEADER.size
    for key, place in places:
        head = file.bytes(place, size, place)
        flag, class_id, number, length = HEADER.unpack(head[_FRAME.size:])
        if head[:len(MAGIC)] != MAGIC:
            file.read(place)  # tells what is wrong
        if length:
            raise ValueError(f"{file.path} has no contents at its end: it was cut short; pack the list again")
        if flag or not class_id.is_integer():
            raise ValueError(f"{file.path}: record {key} is no image with one class: of records that are not of "
                             "tools/pack.py, only those of MXNet's im2rec with a class each are read")
        samples.append(RecordSample(file.path, f"record {key}", int(class_id), file=file, place=place, number=number))
    if places and file.read(max(place for _, place in places))[1] != file.size:
        raise ValueError(f"{file.path} goes on behind the last of the {len(places)} records of its .idx: the index is "
                         "not its own")
    return samples


def _read_index(path):
    """(key, place) of every line of an index."""
    try:
        with open(path, encoding="ascii") as lines:
            return [(int(key[:_DIGITS]), int(place[:_DIGITS])) for key, place in (line.split("\t") for line in lines)]
    except ValueError:
        raise ValueError(f"{path} is no index of a record file: wanted a number, a tab and a number on every line") \
            from None


def _require_fit(path, found, wanted):
    """ValueError unless an index is what its record file says."""
    if len(found) != len(wanted):
        raise ValueError(f"{path} does not fit its .rec: {len(found)} lines for {len(wanted)} samples; pack the list "
                         "again")
    for line, (left, right) in enumerate(zip(found, wanted), 1):
        if left != right:
            raise ValueError(f"{path}:{line} does not fit the .rec: it says {left}, the .rec has {reprlib.repr(right)} "
                             "(sample, byte); pack the list again")
