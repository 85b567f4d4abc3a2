"""Places365-Standard: 365 classes of scenes, as its files unpack or in a folder for each class.

    <root>/
      places365_train_standard.txt      [unless train] of filelist_places365-standard.tar
      places365_val.txt                 [unless train]
      places365_test.txt                [optional]
      categories_places365.txt          [optional]
      data_256/<letter>/<class>/        [unless train or data_256_standard or data_large or data_large_standard]
      val_256/*.jpg                     [unless train or val_large] or data_large, val_large, test_large
      test_256/*.jpg                    [optional]
      train/<class>/                    [unless places365_train_standard.txt] or the easy format's: airfield to
      val/<class>/                      [unless places365_val.txt] zen_garden, church-indoor for church/indoor
"""
from dataclasses import dataclass
from typing import List, Optional

from ademxapp.cli import UsageError
from ademxapp.flags import flag
from iclass.datasets import DATASETS

from .common import UNKNOWN, Candidate, Preparation, Split, in_class_folders, lines_of

RECORD = DATASETS["places365"]
LISTS = {"train": "places365_train_standard.txt", "val": "places365_val.txt", "test": "places365_test.txt"}
FOLDERS = {"train": ("data_{0}", "data_{0}_standard"), "val": ("val_{0}",), "test": ("test_{0}",)}
SIZES = ("256", "large")
CATEGORIES = "categories_places365.txt"


@dataclass(frozen=True)
class Settings(Preparation):
    """Which of the two sizes of the images."""

    size: Optional[str] = flag("of the images: 256x256, or as they were (default: what is there, 256 first)",
                               choices=SIZES)


def splits(asked: Settings) -> List[Split]:
    """The splits train, val and, where it is there, test."""
    if not asked.has(LISTS["train"]):
        return [in_class_folders(asked.root, name, RECORD) for name in ("train", "val")]
    if asked.has(CATEGORIES):
        for (line, origin), (class_id, name) in zip(lines_of(asked.root, CATEGORIES), enumerate(RECORD.class_names)):
            if line != f"/{name[0]}/{name} {class_id}":
                raise ValueError(f"{origin}: {line!r}, where Places365 has '/{name[0]}/{name} {class_id}'")
    found = []
    for name, file in LISTS.items():
        folders = [folder.format(size) for size in ([asked.size] if asked.size else SIZES) for folder in FOLDERS[name]]
        folder = next(filter(asked.has, folders), None)
        if folder is None and name != "test":
            raise UsageError(f"--root {asked.root} has none of the folders {', '.join(folders)} with the images of "
                             f"{name}")
        if name != "test" or (folder and asked.has(file)):
            found.append(Split(name, RECORD, listed_samples(asked.root, name, folder)))
    return found


def listed_samples(root: str, split: str, folder: str) -> List[Candidate]:
    """Samples of a list of lines `image class` (test: `image`)."""
    samples, fields_wanted = [], 1 if split == "test" else 2
    for line, origin in lines_of(root, LISTS[split]):
        fields = line.split(" ")
        known = len(fields) < 2 or (fields[1].isdecimal() and int(fields[1]) < len(RECORD.class_names))
        if len(fields) != fields_wanted or not known:
            raise ValueError(f"{origin}: {line!r}, wanted the path of an image" + (
                "" if split == "test" else f" and its class, in 0 to {len(RECORD.class_names) - 1}"))
        samples.append(Candidate(root, f"{folder}/{fields[0].lstrip('/')}", int(fields[1]) if fields[1:] else UNKNOWN,
                                 origin=origin))
    return samples
