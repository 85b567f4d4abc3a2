"""Datasets for classification, one record each."""
from dataclasses import dataclass, field
from typing import Tuple


@dataclass(frozen=True)
class ClassificationDataset:
    """A dataset: its classes' names in the order of their ids, and the errors that the paper has on it.

    `paper` is {(network, split): (top-1, top-5)} in percent.
    """

    name: str
    class_names: Tuple[str, ...] = ()
    paper: dict = field(default_factory=dict)


DATASETS = {record.name: record for record in (
    ClassificationDataset("ilsvrc-cls", paper={
        ("rna-a", "val"): (19.2, 4.7), ("rna-b", "val"): (21.0, 5.5), ("rna-224-0-1-1-1-1-1-1", "val"): (22.0, 5.8),
        ("rna-c", "val"): (21.8, 5.9), ("rna-d", "val"): (22.1, 6.0), ("rna-e", "val"): (22.3, 6.2),
        ("rna-f", "val"): (25.2, 7.8)}),  # Table 1
    ClassificationDataset("imagenette128", (
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute")),
    ClassificationDataset("demo-cls", ("ball", "crate", "house", "star", "tree")),
)}


def dataset_record(name, classes):
    """The record of a dataset; one without names for a folder tree that has none.

    Raises ValueError if the record's number of classes is another one.
    """
    record = DATASETS.get(name, ClassificationDataset(name))
    if record.class_names and len(record.class_names) != classes:
        raise ValueError(f"dataset {name} has {len(record.class_names)} classes, the label says {classes}")
    return record
