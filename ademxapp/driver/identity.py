"""Whether two runs, or two tests, are the same: what decides them, as digests.

A training is the same as another if the settings that decide a training, the samples and the dataset are; a test if the
settings that decide a test, the samples, the dataset and the weights are. Where the files lie, and on what it runs,
makes no difference.
"""
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ademxapp.data.samples import Sample, blocks_of
from ademxapp.files import digest
from ademxapp.flags import Decides, Settings
from ademxapp.settings import DriverSettings

_NAMES = {"weights_sha256": "weights", "samples_sha256": "samples", "dataset_sha256": "dataset",
          "calibration_sha256": "calibrate_list", "predictions_sha256": "predictions"}
_BLOCK = 2 ** 14  # samples


@dataclass(frozen=True)
class Identity:
    """What decides a training or a test.

    Attributes
    ----------
    decides : Decides
    settings : Settings
    contents : dict
        {"samples_sha256": digest, …} of the files' contents that count, and of what else no flag says.
    task : str
    """

    decides: Decides
    settings: Settings
    contents: Dict[str, Any]
    task: str = ""
    _decided: Dict[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_decided", {"task": self.task, **self.settings.identity(self.decides),
                                              **self.contents})

    @property
    def digest(self) -> str:
        """One for all of it."""
        return _sha256(json.dumps(self._decided, sort_keys=True))

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


def identity_of(decides: Decides, settings: Settings, task: str, samples: Sequence[Sample], record: Any,
                weights: Sequence[str] = (), predictions: Optional[Sequence[str]] = None) -> Identity:
    """The `Identity` of a training or test.

    Parameters
    ----------
    samples : sequence of Sample
        All that the list names, of a shard too.
    record : ClassificationDataset or SegmentationDataset
    weights : sequence of str
        Paths of the files that are tested.
    predictions : sequence of str, optional
        Identities of the tests whose score maps are averaged.
    """
    contents: Dict[str, Any] = {"samples_sha256": samples_digest(samples),
                "dataset_sha256": _sha256(json.dumps(record.described(), sort_keys=True))}
    if decides is Decides.TEST:
        contents["weights_sha256"] = [digest(path) for path in weights]
    if isinstance(settings, DriverSettings) and settings.dtype == "int8":
        path = settings.calibrate_list or os.path.join("data", settings.dataset, "train.lst")
        contents["calibration_sha256"] = digest(path) if os.path.isfile(path) else ""
    if predictions is not None:
        contents["predictions_sha256"] = list(predictions)
    return Identity(decides, settings, contents, task)


def samples_digest(samples: Sequence[Sample]) -> str:
    """A digest of what a list names: images with their classes or labels, in order."""
    found = hashlib.sha256()
    for images, classes, labels in blocks_of(samples, _BLOCK):
        found.update(images + classes.astype("<i4").tobytes() + labels)
    return found.hexdigest()


def require_one_test(folders: Sequence[str], records: Sequence[Optional[Mapping[str, Any]]]) -> None:
    """ValueError unless the records (None: there is none) of all folders are of one test, or of its shards."""
    known = [(folder, record) for folder, record in zip(folders, records) if record is not None]
    for folder, record in known[1:]:
        changed = record_differences(known[0][1], record)
        if changed:
            raise ValueError(f"{folder} and {known[0][0]} are no shards of one test: they differ in "
                             f"{', '.join(changed)}")


def record_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> List[str]:
    """What differs between the tests of two records, sorted names; none where both have one identity."""
    if one.get("identity") and one.get("identity") == other.get("identity"):
        return []
    first, second = one["arguments"], other["arguments"]
    both = [name for name in _NAMES if name in one and name in other]
    return sorted({*(name for name in {*first, *second} - {"shard", "tag"} if first.get(name) != second.get(name)),
                   *(_NAMES[name] for name in both if one[name] != other[name])})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
