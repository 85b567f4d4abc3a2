"""A record file while it is packed, so that it appears whole or not at all, and a run that was killed can go on.

The records lie in PREFIX.rec.part, and PREFIX.journal.part tells how far they have come: a line for the plan (what is
packed and how), then one for every sample, written after its record. What is behind the last line does not count.
"""
import fcntl
import hashlib
import json
import os
from functools import partial

from ademxapp.errors import UsageError
from ademxapp.data.records import HEADER, RecordFile, contents_record, frame, index_text, read_contents
from ademxapp.files import write_text


def fields(sample, task):
    """What the contents say of a sample (tuple of str)."""
    if task == "classification":
        return str(sample.class_id), sample.image
    return (sample.image,) if sample.label_image is None else (sample.image, sample.label_image)


def fingerprint(data):
    """What tells two records' files apart (str)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Parts:
    """The unfinished files of a pack; as a context manager, it closes them.

    `entries` has, for every sample so far, (place, end, digest) of its record, or why it is left out (str). UsageError
    if there are files of another plan, unless `afresh` says to give them up.
    """

    def __init__(self, prefix, plan, skip_broken, afresh):
        self.prefix, self.plan = prefix, plan
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        self._journal = _open(f"{prefix}.journal.part")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self._journal.name} is in use: another run packs {prefix}") from None
        self._records = _open(f"{prefix}.rec.part")
        self._packed, self._end = 0, 0
        first, *lines = self._journal.read().split(b"\n")[:-1] or [b""]  # what is behind the last \n is not whole
        same = first == _line(plan)[:-1]
        if not same and not afresh and os.fstat(self._records.fileno()).st_size:
            raise UsageError(f"{self._records.name} is unfinished, of another list or with other options: finish that, "
                             "name another --out, or give it up with --overwrite")
        self.entries = list(self._usable(lines, skip_broken)) if same else []
        kept = sum(len(line) + 1 for line in [first, *lines][:len(self.entries) + 1]) if same else 0
        self._packed = sum(not isinstance(entry, str) for entry in self.entries)
        self._end = max((entry[1] for entry in self.entries if not isinstance(entry, str)), default=0)
        _cut(self._records, self._end)
        _cut(self._journal, kept)
        if not kept:
            _append(self._journal, _line(plan))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for file in (self._journal, self._records):
            if not self._packed and os.path.exists(file.name):
                os.unlink(file.name)
            file.close()

    def _usable(self, lines, skip_broken):
        """The journal's entries as far as the records are there, up to a broken sample that is to be tried again."""
        size = os.fstat(self._records.fileno()).st_size
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                return  # the machine went down before the line was on the disk
            if not skip_broken if isinstance(entry, str) else entry[1] > size:
                return
            yield entry

    def add(self, sample, image_file, label_file, digest):
        """Write a sample's record."""
        header = HEADER.pack(0, sample.class_id, self._packed, len(image_file))
        record, place = frame(header + image_file + (label_file or b"")), self._end
        _append(self._records, record)
        self._end, self._packed = place + len(record), self._packed + 1
        self._note((place, self._end, digest))

    def leave_out(self, reason):
        """Note that a sample has no record."""
        self._note(reason)

    def _note(self, entry):
        _append(self._journal, _line(entry))
        self.entries.append(entry)

    def finish(self, samples, run):
        """Write the contents, read everything back, and give the files their names."""
        packed = [(sample, entry) for sample, entry in zip(samples, self.entries) if not isinstance(entry, str)]
        rows = [(place, fields(sample, self.plan["task"])) for sample, (place, _, _) in packed]
        about = {**self.plan, "left_out": len(samples) - len(packed)}
        _append(self._records, frame(contents_record(about, rows, self._end)))
        os.fsync(self._records.fileno())
        os.posix_fadvise(self._records.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read from the disk, not from memory
        self._compare(packed, rows, run)
        index = f"{self.prefix}.idx"
        if os.path.exists(index):
            os.unlink(index)
        os.replace(self._records.name, f"{self.prefix}.rec")
        write_text(index, index_text(place for place, _ in rows))
        os.unlink(self._journal.name)

    def _compare(self, packed, rows, run):
        file = RecordFile(self._records.name)
        contents = read_contents(file)
        items = [(place, number, sample.class_id, digest)
                 for number, (sample, (place, _, digest)) in enumerate(packed)]
        same = [contents is not None and contents[1] == rows, *run(partial(_reads_back, file), items, "comparing", 16)]
        if not all(same):
            os.unlink(self._records.name)
            raise ValueError(f"{self._records.name} reads back otherwise than it was written, in {same.count(False)} "
                             f"of {len(same)} records: is the disk broken? It was removed; pack the list again")


def _reads_back(file, item):
    """Whether a record is as it was written."""
    place, number, class_id, digest = item
    try:
        payload, _ = file.read(place)
    except ValueError:
        return False
    return HEADER.unpack_from(payload)[:3] == (0, class_id, number) and fingerprint(payload[HEADER.size:]) == digest


def _open(path):
    return open(path, "r+b", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))


def _cut(file, size):
    file.truncate(size)
    file.seek(size)


def _append(file, data):
    """Write all of `data`."""
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view):]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; what is packed is kept, and the same command goes on",
                      file.name) from None


def _line(value):
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
