"""Datasets for classification, one record each."""
from dataclasses import dataclass, field
from typing import Tuple

from ademxapp.data.dataset_file import read_dataset_file
from ademxapp.inspection.published import TABLE1


@dataclass(frozen=True)
class ClassificationDataset:
    """A dataset: its classes' names in the order of their ids, and the errors that the paper has on it.

    `paper` is {(network, split): (top-1, top-5)} in percent.
    """

    name: str
    class_names: Tuple[str, ...] = ()
    paper: dict = field(default_factory=dict, metadata={"in_file": False})


DATASETS = {record.name: record for record in (
    ClassificationDataset("ilsvrc-cls", paper={
        (row.network, "val"): (row.top1_error, row.top5_error) for row in TABLE1}),
    ClassificationDataset("imagenette128", (
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute")),
    ClassificationDataset("demo-cls", ("ball", "crate", "house", "star", "tree")),
)}


def dataset_record(name, classes, dataset_file=None):
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
