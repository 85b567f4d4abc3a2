"""Whether two runs, or two tests, are the same; and the folder of a test, with its `result.json`.

A training is the same as another if the settings that decide a training, the samples and the dataset are; a test if the
settings that decide a test, the samples, the dataset and the weights are. Where the files lie, and on what it runs,
makes no difference.
"""
import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ademxapp.cli import library_versions
from ademxapp.data.lists import Sample, Samples
from ademxapp.errors import UsageError
from ademxapp.files import digest, read_json, remove_parts, write_json
from ademxapp.flags import Decides, Settings
from ademxapp.settings import DriverSettings

RESULT = "result.json"
UNFINISHED = "unfinished.json"  # what the files of a test that has no result yet stem from
_NAMES = {"weights_sha256": "weights", "samples_sha256": "samples", "dataset_sha256": "dataset",
          "calibration_sha256": "calibrate_list", "predictions_sha256": "predictions"}
_BLOCK = 2 ** 14  # samples


@dataclass(frozen=True)
class Identity:
    """What decides a training or a test."""

    decides: Decides
    settings: Any  # a driver's, or tools/msctest.py's
    contents: Dict[str, Any]  # {"samples_sha256": digest, …}: of files' contents, and what else no flag says
    task: str

    @classmethod
    def of(cls, decides: Decides, settings: Settings, task: str, samples: Sequence[Sample], record: Any,
           weights: Sequence[str] = (), predictions: Optional[Sequence[str]] = None) -> "Identity":
        """That of a training, or of a test of the files `weights`.

        `samples` are all that the list names, of a shard too; `record` is the dataset's; `predictions` are the
        identities of the tests whose score maps are averaged.
        """
        contents: Dict[str, Any] = {"samples_sha256": samples_digest(samples),
                                    "dataset_sha256": _sha256(record.described())}
        if decides is Decides.TEST:
            contents["weights_sha256"] = [digest(path) for path in weights]
        if isinstance(settings, DriverSettings) and settings.dtype == "int8":
            path = settings.calibrate_list or os.path.join("data", settings.dataset, "train.lst")
            contents["calibration_sha256"] = digest(path) if os.path.isfile(path) else ""
        if predictions is not None:
            contents["predictions_sha256"] = list(predictions)
        return cls(decides, settings, contents, task)

    @property
    def digest(self) -> str:
        """One for all of it."""
        return _sha256({"task": self.task, **self.settings.identity(self.decides), **self.contents})

    def record(self) -> Dict[str, Any]:
        """What is written of it, with the arguments."""
        return {"task": self.task, "identity": self.digest, "arguments": self.settings.arguments(), **self.contents}

    def differences(self, record: Mapping[str, Any]) -> List[str]:
        """What differs from a record, sorted names: flags, or what their files hold.

        Of an older record, which has no digests, flags that name files are compared by their names.
        """
        known = [name for name in self.contents if record.get(name) is not None]
        left = () if "samples_sha256" not in known else self.settings.contents_flags()
        flags = self.settings.differences(record["arguments"], self.decides, ("dataset_file", *left))
        return sorted({*flags, *(_NAMES[name] for name in known if record[name] != self.contents[name])})

    def holds_in(self, folder: str) -> bool:
        """Whether what a folder holds is of this test; UsageError if it is of another, which may not be overwritten."""
        try:
            before = read_record(folder)
        except ValueError:
            if self.settings.overwrite:
                return False
            raise
        changed = self.differences(before) if before else []
        if changed and not self.settings.overwrite:
            what = "an unfinished test" if os.path.isfile(os.path.join(folder, UNFINISHED)) else "the result of a test"
            raise UsageError(f"{folder} holds {what} with another {', '.join(changed)}: give this one a --tag, or "
                             "replace that one with --overwrite")
        return before is not None and not changed

    def claim(self, folder: str) -> bool:
        """Make a folder the test's alone, as `holds_in`: another test goes as a whole, unless this one reads of it.

        The same test's result is taken away, too: it would not be that of what is written from now on.
        """
        same, overwrite = self.holds_in(folder), self.settings.overwrite
        if overwrite and not same and os.path.isdir(folder):
            for path in self.settings.files():
                if os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep):
                    raise UsageError(f"--overwrite would remove {path}, which is in the folder of the test: move it, "
                                     "or give this test a --tag")
            for entry in list(os.scandir(folder)):
                (shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)
        os.makedirs(folder, exist_ok=True)
        for place, _, _ in os.walk(folder):
            remove_parts(place)
        write_json(os.path.join(folder, UNFINISHED), self.record())
        if os.path.isfile(os.path.join(folder, RESULT)):
            os.unlink(os.path.join(folder, RESULT))
        return same


def samples_digest(samples: Sequence[Sample]) -> str:
    """A digest of what a list names: images with their classes or labels, in order."""
    found = hashlib.sha256()
    for first in range(0, len(samples), _BLOCK):
        block = samples[first:first + _BLOCK]
        images, classes, labels = block.columns() if isinstance(block, Samples) else zip(*(
            (_bytes(sample.image), sample.class_id, _bytes(sample.label_image or "")) for sample in block))
        found.update(b"\n".join((*images, b"")) + np.array(classes, "<i4").tobytes() + b"\n".join((*labels, b"")))
    return found.hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def require_one_test(folders: Sequence[str]) -> None:
    """ValueError unless all of the folders that say which test they are of say the same, or shards of it."""
    records = ((folder, read_record(folder)) for folder in folders)
    known = [(folder, record) for folder, record in records if record is not None]
    for folder, record in known[1:]:
        first = known[0][1]
        if first.get("identity") and first["identity"] == record.get("identity"):
            continue
        one, other = first["arguments"], record["arguments"]
        changed = {*(name for name in {*one, *other} - {"shard", "tag"} if one.get(name) != other.get(name)),
                   *(_NAMES[name] for name in _NAMES.keys() & first.keys() & record.keys()
                     if first[name] != record[name])}
        if changed:
            raise ValueError(f"{folder} and {known[0][0]} are no shards of one test: they differ in "
                             f"{', '.join(sorted(changed))}")


def test_folder(settings: Any, name: str) -> str:
    """The path of the folder of a test that is called after what it tests; other splits than val and shards say so."""
    shard = getattr(settings, "shard", None)  # of segmentation alone
    parts = (name, None if settings.split == "val" else settings.split, settings.tag,
             shard and "shard-{}-of-{}".format(*shard))
    return os.path.join(settings.output, "_".join(filter(None, parts)))


def read_record(folder: str) -> Optional[Dict[str, Any]]:
    """What says which test a folder's files are of: `unfinished.json`, else `result.json`; ValueError if damaged."""
    paths = (os.path.join(folder, name) for name in (UNFINISHED, RESULT))
    return next((read_result(path) for path in paths if os.path.isfile(path)), None)


def read_result(path: str) -> Dict[str, Any]:
    """The contents of a `result.json`; ValueError if it is none."""
    with contextlib.suppress(ValueError, RecursionError):  # no JSON, or no UTF-8
        result = read_json(path)
        if isinstance(result, dict) and "arguments" in result:
            return result
    raise ValueError(f"{path} is no result of a test: remove it, or give --overwrite")


def write_result(folder: str, record: Mapping[str, Any], images: int, seconds: float,
                 paper: Optional[Dict[str, float]], scores: Dict[str, Any]) -> None:
    """Write `result.json`: what was tested, as its `record` says, and its scores. A test that began is finished."""
    arguments = record["arguments"]
    write_json(os.path.join(folder, RESULT), {
        "label": arguments["model"], "weights": arguments["weights"], "split": arguments["split"], **record,
        "versions": library_versions(), "images": images, "images_per_second": round(images / seconds, 3),
        "paper": paper, **scores})
    if "identity" in record:
        os.unlink(os.path.join(folder, UNFINISHED))
