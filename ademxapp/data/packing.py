"""Packing a list's samples into a record file: PREFIX.rec and PREFIX.idx, as `ademxapp.data.records` describes them.

A run that was killed, or had no space left, goes on where it ended (see `ademxapp.data.parts`). The result is the same,
byte by byte, however often that happened and however many processes it had.
"""
import hashlib
import io
import os
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from ademxapp.data.images import decode_label, decode_rgb
from ademxapp.data.parts import Parts, fields, fingerprint
from ademxapp.data.records import RecordFile, index_text, places_of, read_contents
from ademxapp.data.resize import resize, scaled_size, size_of
from ademxapp.data.samples import Sample
from ademxapp.errors import UsageError, one_line
from ademxapp.files import write_text

LONGEST_SIDE = 65_500  # of a JPEG
QUALITY = 95  # of images that are resized, where none is given: as MXNet's im2rec


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
            wide = label.dtype != np.uint8
            scaled = Image.fromarray(label.astype(np.int32 if wide else np.uint8)).resize((size[1], size[0]),
                                                                                          Resampling.NEAREST)
            label_file = _file(Image.fromarray(np.array(scaled).astype(np.uint16)) if wide else scaled, format="PNG")
        return image_file, label_file


def _file(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


@dataclass(frozen=True)
class Packed:
    """What became of a pack: how many samples are in it, from which on it went on, and what was left out and why."""

    samples: int
    went_on_at: int
    left_out: Tuple[str, ...]


def pack(prefix: str, samples: Sequence[Sample], task: str, encoding: Encoding, run: Callable[..., Iterable], name: str,
         skip_broken: bool = False, afresh: bool = False) -> Packed:
    """Pack samples (list of Sample) into PREFIX.rec and PREFIX.idx.

    Parameters
    ----------
    prefix : str
    samples : sequence of Sample
        Of a list; their order is that of the records.
    task : {"classification", "segmentation"}
    encoding : Encoding
    run : function
        `run(function, items, description, chunk)` gives `function(item)` of every item, in order; processes, if there
        are any, take `chunk` items at a time.
    name : str
        The list's, for messages.
    skip_broken : bool
        Leave out samples that cannot be decoded; else the first ends the packing with a ValueError that names it.
    afresh : bool
        Give up what is there of an unfinished pack with another plan; else that is a UsageError.

    Returns
    -------
    Packed
    """
    plan, roots = make_plan(samples, task, encoding), sorted({os.path.realpath(sample.root) for sample in samples})
    with Parts(prefix, plan, roots, skip_broken, afresh) as parts:
        went_on_at = len(parts.entries)
        todo = samples[went_on_at:]
        for sample, result in zip(todo, run(partial(_encode, encoding), todo, "packing", 1)):
            if isinstance(result, str):
                reason = f"{name}:{sample.line}: {result}"
                if not skip_broken:
                    raise ValueError(f"{reason}; --skip-broken leaves out what is broken")
                parts.leave_out(reason)
            else:
                parts.add(sample, *result)
        left_out = tuple(entry for entry in parts.entries if isinstance(entry, str))
        if len(left_out) == len(samples):
            raise ValueError(f"all {len(samples)} samples of {name} are broken, the first: {left_out[0]}")
        parts.finish(samples, run)
    return Packed(len(samples) - len(left_out), went_on_at, left_out)


def make_plan(samples: Sequence[Sample], task: str, encoding: Encoding) -> Dict[str, Any]:
    """What decides on a record file's bytes, besides the images (a dictionary)."""
    rows = "\n".join("\t".join(fields(sample, task)) for sample in samples)
    digest = hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()
    return {"task": task, **asdict(encoding), "list": digest}


def complete(prefix: str, plan: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """What PREFIX.rec says of itself if it is whole and of this plan, None if there is none; else UsageError.

    A run that was killed at its very end may have left it without its index: that is written again.
    """
    path = f"{prefix}.rec"
    if not os.path.exists(path):
        return None
    file = RecordFile(path)
    contents = read_contents(file)
    if contents is None or any(contents[0].get(key) != value for key, value in plan.items()):
        raise UsageError(f"{path} exists, and is not what this list and these options give: name another --out, or "
                         "replace it with --overwrite")
    about, table = contents
    write_text(f"{prefix}.idx", index_text(places_of(file, table).tolist()))
    if os.path.exists(f"{prefix}.journal.part"):
        os.unlink(f"{prefix}.journal.part")
    return about


def _encode(encoding: Encoding, sample: Sample) -> Union[str, Tuple[bytes, Optional[bytes], str]]:
    """(image's file, label's file or None, digest of both), or the reason why there is none (str)."""
    try:
        image_file, label_file = encoding.encode(sample)
    except (ValueError, OSError) as error:
        return one_line(error)
    return image_file, label_file, fingerprint(image_file + (label_file or b""))
