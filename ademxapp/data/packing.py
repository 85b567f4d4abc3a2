"""Packing a list's samples into a record file: PREFIX.rec and PREFIX.idx, as `ademxapp.data.records` describes them.

It appears whole or not at all, and a run that was killed, or had no space left, goes on where it ended: the records lie
in PREFIX.rec.part, and PREFIX.journal.part tells how far they have come: a line for the plan (what is packed and how),
then one for every sample, written after its record. What is behind the last line does not count. The result is the
same, byte by byte, however often that happened and however many processes it had.
"""
import contextlib
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image

from ademxapp.data.images import decode_label, decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.data.records import HEADER, RecordFile, contents_record, frame, index_text, read_contents
from ademxapp.data.transforms import resize, scaled_size, size_of
from ademxapp.errors import UsageError, one_line
from ademxapp.files import only_one, write_text

LONGEST_SIDE = 65_500  # of a JPEG
QUALITY = 95  # of images that are resized, where none is given: as MXNet's im2rec
SYNC_BYTES = 2 ** 26  # of records that may not be on the disk yet
Entry = Union[str, Tuple[int, int, str]]


@dataclass(frozen=True)
class Encoding:
    """How files are packed: as they are, or with another length of the shorter side, or as JPEG of a quality."""

    shorter_side: Optional[int] = None
    quality: Optional[int] = None

    def encode(self, sample: Sample) -> Tuple[bytes, Optional[bytes]]:
        """The image's file and the label's (bytes, or None where there is none); ValueError if they are broken."""
        image_file, label_file = sample.read()
        image = decode_rgb(image_file, sample.image_path)
        label = None if label_file is None else decode_label(label_file, sample.label_path)
        if label is not None and label.shape != image.shape[:2]:
            raise ValueError(f"{sample.label_path} has {label.shape[1]}x{label.shape[0]} pixels, its image "
                             f"{sample.image_path} {image.shape[1]}x{image.shape[0]}")
        size = size_of(image)
        if self.shorter_side is not None:
            size = scaled_size(size, self.shorter_side, longer=False)
        if size != image.shape[:2] or self.quality is not None:
            if max(size) > LONGEST_SIDE:
                raise ValueError(f"{sample.image_path} has {image.shape[1]}x{image.shape[0]} pixels, and would have "
                                 f"{size[1]}x{size[0]}: a JPEG has sides of at most {LONGEST_SIDE}")
            image_file = _file(resize(Image.fromarray(image), size), format="JPEG", quality=self.quality or QUALITY)
        if label is not None and size != label.shape:
            scaled = Image.fromarray(label).resize((size[1], size[0]), Image.Resampling.NEAREST)
            wide = label.dtype != np.uint8
            label_file = _file(Image.fromarray(np.array(scaled).astype(np.uint16)) if wide else scaled, format="PNG")
        return image_file, label_file


def _file(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


class Packed(NamedTuple):
    """What became of a pack: how many samples are in it, from which on it went on, and what was left out and why."""

    samples: int
    went_on_at: int
    left_out: Tuple[str, ...]


def pack(prefix: str, samples: Sequence[Sample], plan: Dict[str, Any], run: Callable[..., Iterable], name: str,
         skip_broken: bool = False, afresh: bool = False) -> Packed:
    """Pack the samples of the list `name`, by their plan, into PREFIX.rec and PREFIX.idx, in their order.

    `run(function, items, description, chunk)` gives `function(item)` of every item, in order; processes, if there are
    any, take `chunk` items at a time. With `skip_broken`, samples that cannot be decoded are left out; else the first
    ends the packing with a ValueError that names it. `afresh` gives up what is there of an unfinished pack with another
    plan; else that is a UsageError.
    """
    with _Parts(prefix, plan, samples[0].root, skip_broken, afresh) as parts:
        went_on_at = len(parts.entries)
        todo, encode = samples[went_on_at:], partial(_encode, Encoding(plan["shorter_side"], plan["quality"]))
        for sample, result in zip(todo, run(encode, todo, "packing", 1)):
            if isinstance(result, str):
                reason = f"{name}:{sample.line}: {result}"
                if not skip_broken:
                    raise ValueError(f"{reason}; --skip-broken leaves out what is broken")
                parts.note(reason)
            else:
                parts.add(sample, *result)
        left_out = tuple(entry for entry in parts.entries if isinstance(entry, str))
        if len(left_out) == len(samples):
            raise ValueError(f"all {len(samples)} samples of {name} are broken, the first: {left_out[0]}")
        parts.finish(samples, run)
    return Packed(len(samples) - len(left_out), went_on_at, left_out)


def make_plan(samples: Sequence[Sample], task: str, encoding: Encoding) -> Dict[str, Any]:
    """What decides on a record file's bytes, besides the images (a dictionary)."""
    rows = "\n".join("\t".join(_fields(sample, task)) for sample in samples)
    digest = hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()
    return {"task": task, **asdict(encoding), "list": digest}


def complete(prefix: str, plan: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """What PREFIX.rec says of itself if it is whole and of this plan, None if there is none; else UsageError.

    A run that was killed at its very end may have left it without its index: that is written again.
    """
    path = f"{prefix}.rec"
    if not os.path.exists(path):
        return None
    about, packed = read_contents(RecordFile(path)) or ({}, None)
    if packed is None or any(about.get(key) != value for key, value in plan.items()):
        raise UsageError(f"{path} exists, and is not what this list and these options give: name another --out, or "
                         "replace it with --overwrite")
    write_text(f"{prefix}.idx", index_text(packed.numbers["place"].tolist()))
    if os.path.exists(f"{prefix}.journal.part"):
        os.unlink(f"{prefix}.journal.part")
    return about


def _fields(sample: Sample, task: str) -> Tuple[str, ...]:
    """What the contents say of a sample."""
    if task == "classification":
        return str(sample.class_id), sample.image
    return (sample.image,) if sample.label_image is None else (sample.image, sample.label_image)


def _encode(encoding: Encoding, sample: Sample) -> Union[str, Tuple[bytes, Optional[bytes], str]]:
    """(image's file, label's file or None, digest of both), or the reason why there is none (str)."""
    try:
        image_file, label_file = encoding.encode(sample)
    except (ValueError, OSError) as error:
        return one_line(error)
    return image_file, label_file, _fingerprint(image_file + (label_file or b""))


def _fingerprint(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class _Parts(contextlib.AbstractContextManager):
    """The unfinished files of a pack; as a context manager, it closes them.

    `entries` has, for every sample so far, (place, end, digest) of its record, or why it is left out (str). UsageError
    if there are files of another plan, or of images below another `root`, unless `afresh` says to give them up.
    """

    def __init__(self, prefix: str, plan: Dict[str, Any], root: str, skip_broken: bool, afresh: bool) -> None:
        self.prefix, self.plan = prefix, plan
        os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
        names, self._open = (f"{prefix}.journal.part", f"{prefix}.rec.part"), contextlib.ExitStack()
        self._open.enter_context(only_one(names[0], f"{names[0]} is in use: another run packs {prefix}"))
        self._journal, self._records = (self._open.enter_context(open(name, "a+b", buffering=0)) for name in names)
        self._journal.seek(0)
        head = json.dumps({**plan, "roots": [os.path.realpath(root)]}).encode()
        first, *lines = self._journal.read().split(b"\n")[:-1] or [b""]  # what is behind the last \n is not whole
        same = first == head
        if not same and not afresh and os.fstat(self._records.fileno()).st_size:
            self._open.close()
            raise UsageError(f"{self._records.name} is unfinished, of another list or with other options"
                             f"{_roots_of(first)}: finish that, name another --out, or give it up with --overwrite")
        self.entries: List[Entry] = list(self._usable(lines, skip_broken)) if same else []
        kept = sum(len(line) + 1 for line in [first, *lines][:len(self.entries) + 1]) if same else 0
        ends = [entry[1] for entry in self.entries if not isinstance(entry, str)]
        self._packed, self._end = len(ends), max(ends, default=0)
        self._synced = self._end
        self._records.truncate(self._end)
        self._journal.truncate(kept)
        if not kept:
            _append(self._journal, head + b"\n")

    def __exit__(self, *exception: Any) -> None:
        for file in (self._journal, self._records):
            if not self._packed and os.path.exists(file.name):
                os.unlink(file.name)
        self._open.close()

    def _usable(self, lines: Sequence[bytes], skip_broken: bool) -> Iterator[Entry]:
        """The journal's entries as far as the records are there, up to a broken sample that is to be tried again."""
        # Where the machine went down, the last of either file may not be on the disk, whatever their lengths say.
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
                if end > size or end > size - 2 * SYNC_BYTES and not _is_whole(file, (place, number, digest, None)):
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
        self.note((place, self._end, digest))

    def note(self, entry: Entry) -> None:
        """Write what has become of a sample into the journal."""
        _append(self._journal, json.dumps(entry).encode() + b"\n")
        self.entries.append(entry)

    def finish(self, samples: Sequence[Sample], run: Callable[..., Iterable[bool]]) -> None:
        """Write the contents, read everything back, and give the files their names."""
        packed = [(sample, entry) for sample, entry in zip(samples, self.entries) if not isinstance(entry, str)]
        rows = [(place, _fields(sample, self.plan["task"])) for sample, (place, _, _) in packed]
        contents = contents_record({**self.plan, "left_out": len(samples) - len(packed)}, rows, self._end)
        _append(self._records, frame(contents))
        os.fsync(self._records.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._records.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read from the disk, not memory
        file, items = RecordFile(self._records.name), [
            (place, number, digest, sample.class_id) for number, (sample, (place, _, digest)) in enumerate(packed)]
        same = [_payload(file, self._end) == contents, *run(partial(_is_whole, file), items, "comparing", 16)]
        if not all(same):
            os.unlink(file.path)
            raise ValueError(f"{file.path} reads back otherwise than it was written, in {same.count(False)} of "
                             f"{len(same)} records: is the disk broken? It was removed; pack the list again")
        index = f"{self.prefix}.idx"
        if os.path.exists(index):
            os.unlink(index)
        os.replace(file.path, f"{self.prefix}.rec")
        write_text(index, index_text(place for place, _ in rows))
        os.unlink(self._journal.name)


def _is_whole(file: RecordFile, item: Tuple[int, int, str, Optional[int]]) -> bool:
    """Whether the record at a place has this number, these files' digest and, unless it is None, this class."""
    place, number, digest, class_id = item
    payload = _payload(file, place)
    if len(payload) < HEADER.size:
        return False
    flag, found_class, found, _ = HEADER.unpack_from(payload)
    return (flag, found) == (0, number) and class_id in (None, found_class) and _fingerprint(
        payload[HEADER.size:]) == digest


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


def _append(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view):]
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; what is packed is kept, and the same command goes on",
                      file.name) from None
