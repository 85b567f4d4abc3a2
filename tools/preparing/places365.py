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
import os
from dataclasses import dataclass
from typing import List, Optional, Tuple

from ademxapp.cli import UsageError
from ademxapp.data.lists import Sample
from ademxapp.flags import flag
from iclass.datasets import DATASETS

from .common import Preparation, Split, lines_of
from .images import UNKNOWN, Images, in_class_folders

RECORD = DATASETS["places365"]
KIND = Images(RECORD.class_names, RECORD.splits)
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
    found = []
    if not os.path.isfile(os.path.join(asked.root, LISTS["train"])):
        ids = {name: class_id for class_id, name in enumerate(RECORD.folders)}
        for split in ("train", "val"):
            samples, notes = in_class_folders(asked.root, split, ids)
            found.append(Split("places365", split, samples, KIND, notes=notes))
        return found
    require_categories(asked.root)
    for split, file in LISTS.items():
        folder = images_folder(asked, split)
        if split != "test" or (folder and os.path.isfile(os.path.join(asked.root, file))):
            samples, origins = listed_samples(asked.root, split, folder)
            found.append(Split("places365", split, samples, KIND, origins))
    return found


def images_folder(asked: Settings, split: str) -> Optional[str]:
    """The folder below the root that has a split's images; None where there is none of test, else UsageError."""
    names = [name.format(size) for size in ([asked.size] if asked.size else SIZES) for name in FOLDERS[split]]
    found = [name for name in names if os.path.isdir(os.path.join(asked.root, name))]
    if not found and split != "test":
        raise UsageError(f"--root {asked.root} has none of the folders {', '.join(names)} with the images of {split}")
    return found[0] if found else None


def require_categories(root: str) -> None:
    """ValueError if the list of categories, where there is one, is not the one that the classes are numbered by."""
    if os.path.isfile(os.path.join(root, CATEGORIES)):
        wanted = [f"/{name[0]}/{name} {class_id}" for class_id, name in enumerate(RECORD.class_names)]
        for (line, origin), category in zip(lines_of(root, CATEGORIES), wanted):
            if line != category:
                raise ValueError(f"{origin}: {line!r}, where Places365 has {category!r}")


def listed_samples(root: str, split: str, folder: str) -> Tuple[List[Sample], List[str]]:
    """Samples of a list of lines `image class` (test: `image`), and where each is named."""
    samples, origins, fields_wanted = [], [], 1 if split == "test" else 2
    for line, origin in lines_of(root, LISTS[split]):
        fields = line.split(" ")
        known = len(fields) < 2 or (fields[1].isdecimal() and int(fields[1]) < len(RECORD.class_names))
        if len(fields) != fields_wanted or not known:
            raise ValueError(f"{origin}: {line!r}, wanted the path of an image" + (
                "" if split == "test" else f" and its class, in 0 to {len(RECORD.class_names) - 1}"))
        samples.append(Sample(root, f"{folder}/{fields[0].lstrip('/')}", int(fields[1]) if fields[1:] else UNKNOWN))
        origins.append(origin)
    return samples, origins
