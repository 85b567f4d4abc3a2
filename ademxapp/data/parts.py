"""A record file while it is packed, so that it appears whole or not at all, and a run that was killed can go on.

The records lie in PREFIX.rec.part, and PREFIX.journal.part tells how far they have come: a line for the plan (what is
packed and how), then one for every sample, written after its record. What is behind the last line does not count.
"""
import contextlib
import hashlib
import json
import os
from functools import partial
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from ademxapp.data.records import HEADER, RecordFile, contents_record, frame, index_text
from ademxapp.data.samples import Sample
from ademxapp.errors import UsageError
from ademxapp.files import only_one, write_text

SYNC_BYTES = 2 ** 26  # of records that may not be on the disk yet
Entry = Union[str, Tuple[int, int, str]]


def fields(sample: Sample, task: str) -> Tuple[str, ...]:
    """What the contents say of a sample (tuple of str)."""
    if task == "classification":
        return str(sample.class_id), sample.image
    return (sample.image,) if sample.label_image is None else (sample.image, sample.label_image)


def fingerprint(data: bytes) -> str:
    """What tells two records' files apart (str)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Parts:
    """The unfinished files of a pack; as a context manager, it closes them.

    `entries` has, for every sample so far, (place, end, digest) of its record, or why it is left out (str). UsageError
    if there are files of another plan, or of images below other `roots`, unless `afresh` says to give them up.
    """

    def __init__(self, prefix: str, plan: Dict[str, Any], roots: Sequence[str], skip_broken: bool,
                 afresh: bool) -> None:
        self.prefix, self.plan = prefix, plan
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        name, self._open = f"{prefix}.journal.part", contextlib.ExitStack()
        self._open.enter_context(only_one(name, f"{name} is in use: another run packs {prefix}"))
        self._journal, self._records = _open(name), _open(f"{prefix}.rec.part")
        head = _line({**plan, "roots": list(roots)})
        first, *lines = self._journal.read().split(b"\n")[:-1] or [b""]  # what is behind the last \n is not whole
        same = first == head[:-1]
        if not same and not afresh and os.fstat(self._records.fileno()).st_size:
            self._close()
            raise UsageError(f"{self._records.name} is unfinished, of another list or with other options"
                             f"{_roots_of(first)}: finish that, name another --out, or give it up with --overwrite")
        self.entries: List[Entry] = list(self._usable(lines, skip_broken)) if same else []
        kept = sum(len(line) + 1 for line in [first, *lines][:len(self.entries) + 1]) if same else 0
        self._packed = sum(not isinstance(entry, str) for entry in self.entries)
        self._end = self._synced = max((entry[1] for entry in self.entries if not isinstance(entry, str)), default=0)
        _cut(self._records, self._end)
        _cut(self._journal, kept)
        if not kept:
            _append(self._journal, head)

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *exception: Any) -> None:
        for file in (self._journal, self._records):
            if not self._packed and os.path.exists(file.name):
                os.unlink(file.name)
        self._close()

    def _close(self) -> None:
        self._journal.close()
        self._records.close()
        self._open.close()

    def _usable(self, lines: Sequence[bytes], skip_broken: bool) -> Iterator[Entry]:
        """The journal's entries as far as the records are there, up to a broken sample that is to be tried again.

        Where the machine went down, the last of either file may not be on the disk, whatever their lengths say.
        """
        size, number = os.fstat(self._records.fileno()).st_size, 0
        file = RecordFile(self._records.name)
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                return
            if isinstance(entry, str):
                if not skip_broken:
                    return
            else:
                place, end, digest = entry
                if end > size or end > size - 2 * SYNC_BYTES and not _is_whole(file, place, number, digest):
                    return
                number += 1
            yield entry

    def add(self, sample: Sample, image_file: bytes, label_file: Optional[bytes], digest: str) -> None:
        """Write a sample's record."""
        header = HEADER.pack(0, sample.class_id, self._packed, len(image_file))
        record, place = frame(header + image_file + (label_file or b"")), self._end
        _append(self._records, record)
        self._end, self._packed = place + len(record), self._packed + 1
        if self._end - self._synced > SYNC_BYTES:
            os.fsync(self._records.fileno())
            self._synced = self._end
        self._note((place, self._end, digest))

    def leave_out(self, reason: str) -> None:
        """Note that a sample has no record."""
        self._note(reason)

    def _note(self, entry: Entry) -> None:
        _append(self._journal, _line(entry))
        self.entries.append(entry)

    def finish(self, samples: Sequence[Sample], run: Callable[..., Iterable[bool]]) -> None:
        """Write the contents, read everything back, and give the files their names."""
        packed = [(sample, entry) for sample, entry in zip(samples, self.entries) if not isinstance(entry, str)]
        rows = [(place, fields(sample, self.plan["task"])) for sample, (place, _, _) in packed]
        about = {**self.plan, "left_out": len(samples) - len(packed)}
        contents = contents_record(about, rows, self._end)
        _append(self._records, frame(contents))
        os.fsync(self._records.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._records.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read from the disk, not memory
        self._compare(packed, contents, run)
        index = f"{self.prefix}.idx"
        if os.path.exists(index):
            os.unlink(index)
        os.replace(self._records.name, f"{self.prefix}.rec")
        write_text(index, index_text(place for place, _ in rows))
        os.unlink(self._journal.name)

    def _compare(self, packed: Sequence[Tuple[Sample, Tuple[int, int, str]]], contents: bytes,
                 run: Callable[..., Iterable[bool]]) -> None:
        file = RecordFile(self._records.name)
        items = [(place, number, sample.class_id, digest)
                 for number, (sample, (place, _, digest)) in enumerate(packed)]
        same = [_payload(file, self._end) == contents, *run(partial(_reads_back, file), items, "comparing", 16)]
        if not all(same):
            os.unlink(self._records.name)
            raise ValueError(f"{self._records.name} reads back otherwise than it was written, in {same.count(False)} "
                             f"of {len(same)} records: is the disk broken? It was removed; pack the list again")


def _reads_back(file: RecordFile, item: Tuple[int, int, int, str]) -> bool:
    """Whether a record is as it was written."""
    place, number, class_id, digest = item
    return _is_whole(file, place, number, digest) and HEADER.unpack_from(_payload(file, place))[1] == class_id


def _is_whole(file: RecordFile, place: int, number: int, digest: str) -> bool:
    """Whether a record has its number and its files."""
    payload = _payload(file, place)
    if len(payload) < HEADER.size:
        return False
    flag, _, found, _ = HEADER.unpack_from(payload)
    return (flag, found) == (0, number) and fingerprint(payload[HEADER.size:]) == digest


def _payload(file: RecordFile, place: int) -> bytes:
    """A record's payload, b"" where it is damaged."""
    try:
        return file.read(place)[0]
    except ValueError:
        return b""


def _roots_of(head: bytes) -> str:
    """What a journal's first line says of the images' roots, for a message."""
    try:
        return f", of images below {', '.join(json.loads(head)['roots'])}"
    except (ValueError, KeyError, TypeError):
        return ""


def _open(path: str) -> BinaryIO:
    return open(path, "r+b", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))


def _cut(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    file.seek(size)


def _append(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`."""
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view):]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; what is packed is kept, and the same command goes on",
                      file.name) from None


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"
