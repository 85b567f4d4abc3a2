"""Folder trees with a folder for each class: which folders are classes', how they are numbered, what is in them."""
import logging
import os
import unicodedata
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np

from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, Samples

# What systems and programs leave beside people's own folders: macOS's archives, Synology, QNAP, Windows, Linux, Python.
SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information",
                  "lost+found", "__pycache__")
SHOWN = 10  # names in a message


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden or a system's, and no one's own."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def class_folders(folder: str) -> List[str]:
    """Sorted names of the folders in a folder, without hidden ones and systems'."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_system(entry.name))


def composed(name: str) -> str:
    """A name with its accents in one letter: macOS writes them in two, and means the same."""
    return unicodedata.normalize("NFC", name)


def _numbered(root: str, split: str, classes: int, known: Sequence[str]) -> Tuple[str, ...]:
    """The classes' folders in the order of the classes, for every split alike; ValueError if they are not `classes`.

    They are `known`, the folders of a dataset's record; where it has none, the sorted names in <root>/train; where that
    is not there, those in <root>/<split>, which is told as a warning.
    """
    if known:
        return tuple(known)
    folder = os.path.join(root, "train")
    if not os.path.isdir(folder):
        folder = os.path.join(root, split)
        logging.getLogger("ademxapp").warning(
            "%s: its folders number the classes by their own names, as there is neither a folder train nor a "
            "--dataset-file to do it: %s", folder, some(class_folders(folder)))
    names = class_folders(folder)
    if len(names) != classes:
        raise ValueError(f"{folder} has {len(names)} class folders, the label says {classes} classes: {some(names)}")
    return tuple(names)


def scan_tree(root: str, split: str, classes: int, known: Sequence[str] = ()) -> Samples:
    """Samples of `<root>/<split>/<class>/<image>`; classes are numbered by train's folders, or by the `known`.

    Hidden folders and files, and systems', are left out. Raises ValueError for a folder that is no class's, and for a
    class that has no image: its name may be another one.
    """
    folder, numbered = os.path.join(root, split), _numbered(root, split, classes, known)
    found, text, class_ids, empty = match_folders(folder, numbered), bytearray(), [], []
    for class_id, name in enumerate(numbered):
        images = sorted(image for image in (os.listdir(os.path.join(folder, found[name])) if name in found else ())
                        if image.lower().endswith(IMAGE_EXTENSIONS) and not image.startswith("."))
        for path in (os.path.join(split, found[name], image) for image in images):
            if any(mark in path for mark in "\t\r\n"):
                raise ValueError(f"{os.path.join(root, path)!r} has a tab or a line break in its name: rename it")
            text += path.encode("utf-8", "surrogateescape") + b"\n"
            class_ids.append(class_id)
        if not images:
            empty.append(name)
    if empty and class_ids:
        raise ValueError(f"{folder} has no image of {len(empty)} of the {len(numbered)} classes: {some(empty)}; images "
                         f"end in {', '.join(IMAGE_EXTENSIONS)} and lie in the class's folder itself; --list FILE, as "
                         "tools/prepare.py folders writes it, takes what is there")
    return Samples(root, bytes(text), 0, np.array(class_ids, np.int32))


def match_folders(folder: str, numbered: Sequence[str]) -> Dict[str, str]:
    """{class: its folder in `folder`}, of the classes that have one, however their accents are written.

    Raises ValueError for folders that are no class's.
    """
    wanted, found, strange = {composed(name): name for name in numbered}, {}, []
    for name in class_folders(folder):
        own = wanted.get(composed(name))
        if own is not None and own not in found:
            found[own] = name
        else:
            strange.append(name)
    if strange:
        missing = [name for name in numbered if name not in found]
        raise ValueError(f"{folder} has folders that are no class's: {some(strange)}; wanted such as "
                         f"{some(missing[:3] or numbered[:3])}")
    return found


def folder_names(samples: Iterable[Sample], classes: int) -> Tuple[str, ...]:
    """What the folders are called that the classes' images lie in; none unless each class has one of its own."""
    found: Dict[int, str] = {}
    for sample in samples:
        name = os.path.basename(os.path.dirname(sample.image))
        if found.setdefault(sample.class_id, name) != name:
            return ()
    names = tuple(found.get(class_id, "") for class_id in range(classes))
    return names if all(names) and len(set(names)) == classes else ()


def some(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
