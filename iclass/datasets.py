"""Datasets for classification, one record each; and the ILSVRC 2012 development kit's numbers of the classes.

In these the test server wants entries.
"""
import os
from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ademxapp.data.class_folders import folder_names
from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.data.lists import Sample
from ademxapp.paper import published
from ademxapp.weights.description import Description

DEVKIT = "ILSVRC2012_devkit_t12"
META = "data/meta.mat"


@dataclass(frozen=True)
class ClassificationDataset:
    """A dataset.

    Attributes
    ----------
    class_names : tuple of str
        In the order of their ids; none where the record does not know them.
    folders : tuple of str
        What the classes' folders are called, where that is not their names.
    splits : dict
        {split: images} of the whole dataset.
    paper_table : str, optional
        The paper's table that has errors on val.
    """

    name: str
    class_names: Tuple[str, ...] = ()
    folders: Tuple[str, ...] = ()
    splits: Dict[str, int] = field(default_factory=dict)
    paper_table: Optional[str] = field(default=None, metadata={"in_file": False})

    def __post_init__(self) -> None:
        if not self.folders:
            object.__setattr__(self, "folders", self.class_names)

    def described(self) -> Dict[str, Any]:
        """What a `Description` of weights says of the dataset, by its names."""
        return {"class_names": self.class_names}

    @property
    def paper(self) -> Dict[Tuple[str, str], Tuple[float, ...]]:
        """{(network, split): (top-1, top-5)}, errors in percent as published."""
        rows = published(self.paper_table) if self.paper_table else {}
        return {(network, "val"): tuple(scores.values()) for (network, _), scores in rows.items()}


def _lines(name: str) -> List[str]:
    """The lines of a file of this package's `names`."""
    with open(os.path.join(os.path.dirname(__file__), "names", name), encoding="utf-8") as lines:
        return lines.read().splitlines()


SYNSETS, SYNSET_NAMES = zip(*(line.split(" ", 1) for line in _lines("ilsvrc-cls.txt")))
IMAGENETTE = ("n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413",
              "n03445777", "n03888257")

DATASETS = {record.name: record for record in (
    ClassificationDataset("ilsvrc-cls", SYNSET_NAMES, SYNSETS, {"train": 1281167, "val": 50000, "test": 100000},
                          paper_table="table1"),
    ClassificationDataset("places365", tuple(_lines("places365.txt")),
                          tuple(name.replace("/", "-") for name in _lines("places365.txt")),
                          splits={"train": 1803460, "val": 36500, "test": 328500}),
    ClassificationDataset("cifar10", (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        splits={"train": 50000, "val": 10000}),
    ClassificationDataset("imagenette128", (
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute"), IMAGENETTE),
    ClassificationDataset("demo-cls", ("ball", "crate", "house", "star", "tree")),
)}


def dataset_record(name: str, classes: int, dataset_file: Optional[str] = None) -> ClassificationDataset:
    """The record of a dataset, of `dataset_file` (YAML) if given; one without names for a folder tree that has none.

    Raises ValueError if the record's number of classes is another one.
    """
    if dataset_file is not None:
        record = read_dataset_file(dataset_file, ClassificationDataset, name)
    else:
        record = DATASETS.get(name, ClassificationDataset(name))
    if record.class_names and len(record.class_names) != classes:
        raise ValueError(f"dataset {name} has {len(record.class_names)} classes, the label says {classes}")
    return record


def described_record(known: Description, dataset: Optional[str] = None, dataset_file: Optional[str] = None
                     ) -> ClassificationDataset:
    """The record of the dataset that weights have the classes of: of the file or the other dataset that is named, else
    as is known of the weights.
    """
    label = known.label.partition("_")[0]
    if dataset not in (None, label) or dataset_file or not known.class_names:
        other = dataset_record(dataset or label, known.classes, dataset_file)
        known.require_order(other.class_names or other.folders, dataset_file or other.name)
        return other
    built_in = DATASETS.get(label)
    if built_in is not None and built_in.class_names == known.class_names:
        return built_in
    return ClassificationDataset(label, known.class_names, known.folders)


def named_by_folders(record: ClassificationDataset, samples: Iterable[Sample], classes: int) -> ClassificationDataset:
    """The record with the names of the classes' folders, where it has no names and each class has one folder."""
    return record if record.class_names else replace(record, class_names=folder_names(samples, classes), folders=())


def kit_synsets(devkit: str) -> Dict[int, str]:
    """{ILSVRC2012_ID: synset} of a development kit's meta.mat."""
    from scipy.io import loadmat

    path = os.path.join(devkit, META)
    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        return {int(number): str(synset) for number, synset in zip(synsets["ILSVRC2012_ID"], synsets["WNID"])}
    except OSError:
        raise
    except Exception as error:  # scipy raises nearly anything at a broken file
        raise ValueError(f"{path} is not the development kit's: {error!r}; wanted a MATLAB file with the table "
                         "synsets, of ILSVRC2012_ID and WNID") from None


def kit_numbers(devkit: str, synsets: Sequence[str]) -> List[int]:
    """The ILSVRC2012_ID of each of `synsets` (list of int); ValueError if the kit lacks one."""
    numbers = {synset: number for number, synset in kit_synsets(devkit).items()}
    missing = [synset for synset in synsets if synset not in numbers]
    if missing:
        raise ValueError(f"{os.path.join(devkit, META)} has no number of {missing[0]}, and of {len(missing)} of the "
                         f"{len(synsets)} classes in all")
    return [numbers[synset] for synset in synsets]
