"""What every preparer stands on: its arguments, the splits that it gives, the folders that it draws, what reads files.

A preparer's docstring draws the folders that its dataset is downloaded as, and they are checked against that:

    <root>/
      JPEGImages/*.jpg
      train.txt
      coarse/               [--coarse] a note
        <city>/*.png

A drawing starts with the option that names its folder and goes on while lines are indented further. A line is a path
below the less indented line above it; `*` and `<word>` stand for any name. Behind two spaces comes a note. What it
starts with says when the line is needed: `[optional]` never, `[--flag]` with that option, `[with PATH]` where there is
a PATH below the drawing's folder, `[unless PATH or PATH]` where there is none of them; else always.
"""
import glob
import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.cli import UsageError, number
from ademxapp.data.class_folders import class_folders, is_system, match_folders
from ademxapp.data.images import stem
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, each_line, plain_text
from ademxapp.flags import Settings, flag
from ademxapp.machine import processors
from iclass.datasets import ClassificationDataset
from issegm.datasets import SegmentationDataset

Record = Union[SegmentationDataset, ClassificationDataset]
UNKNOWN = -1  # the class of images whose truth is not published
NO_IMAGES = "files that are no images by their names"
_LINE = re.compile(r"^( +)(\S+)(?: {2,}(?:\[([^]]+)\])?.*)?$")  # of a drawing: indent, path, condition


@dataclass(frozen=True)
class Candidate(Sample):
    """A sample that nobody has looked at yet; messages name it by its `origin`, `file:line`, if it has one.

    `make` is for a label that the dataset ships in another form: it takes nothing, can be pickled, and gives the label
    map, (H, W) uint8.
    """

    origin: str = ""
    make: Optional[Callable[[], np.ndarray]] = None

    def fault(self, reason: str) -> str:
        """Why the sample cannot be used, with where it is named."""
        return f"{self.origin}: {reason}" if self.origin else reason


@dataclass(frozen=True)
class Split:
    """A list to write, `<out>/<the record's name>/<name>.lst`.

    `notes` say what is odd about the dataset's files and folders. Labels are made where they are missing, or `afresh`.
    The files of a split that was `drawn` were just made here, and are not looked into.
    """

    name: str
    record: Record
    samples: Sequence[Candidate]
    notes: Sequence[str] = ()
    afresh: bool = False
    drawn: bool = False


@dataclass(frozen=True)
class Preparation(Settings):
    """What every dataset is asked for."""

    root: str = flag("folder of the downloaded dataset", required=True, metavar="DIR")
    out: str = flag("folder of the lists' folders", "data", metavar="DIR")
    no_decode: bool = flag("names and counts only: open no image, make no label", False)
    skip_broken: bool = flag("leave out what is missing or broken, and name it in <split>.left-out.txt beside the list "
                             "(default: end with the first)", False)
    workers: int = flag("processes", processors(), type=number(int, 1, 256), metavar="N")

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder below the root."""
        return os.path.exists(os.path.join(self.root, name))


@dataclass(frozen=True)
class OwnPreparation(Preparation):
    """What a dataset of one's own is asked for."""

    name: Optional[str] = flag("of the dataset, as labels and lists will have it (default: the root's name, in small "
                               "letters, with '-' for what no label can have)")


def dataset_name(asked: OwnPreparation, given: Optional[str] = None) -> str:
    """The name of the dataset, by --name, as `given`, or by the root; UsageError if no label can have it."""
    folder = os.path.basename(os.path.abspath(asked.root)).lower()
    name = asked.name or given or re.sub(r"[^a-z0-9]+", "-", folder).strip("-")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise UsageError(f"--name {name!r}: wanted small letters, digits and '-', as in pets_rna-a1_cls37")
    return name


def lines_of(root: str, name: str) -> List[Tuple[str, str]]:
    """`(text, "file:line")` of every line of a text file below `root` that is not blank, whichever editor wrote it."""
    path = os.path.join(root, name)
    lines = each_line(plain_text(path))
    return [(line.strip(), f"{path}:{count}") for count, line in enumerate(lines, 1) if line.strip()]


def read_matrix(path: str, *fields: str) -> np.ndarray:
    """The matrix under `fields`, each inside the one before, of a .mat file (to version 7), (H, W) integers."""
    from scipy.io import loadmat  # not needed for most datasets

    with open(path, "rb") as source:
        try:
            value = loadmat(source, variable_names=fields[:1])
            for field in fields:
                value = value[field]
                while value.dtype == object:
                    value = value.flat[0]
        except Exception as error:  # of many kinds
            raise ValueError(f"{path} has no {'.'.join(fields)}: {error}") from None
    if value.ndim != 2 or value.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {'.'.join(fields)} is no label map: wanted a matrix of numbers, got {value.ndim} "
                         f"dimensions of {value.dtype}")
    return value.astype(np.int64)


def image_names(folder: str) -> Tuple[List[str], List[str]]:
    """Sorted names of a folder's images and of its other files, none hidden; ValueError if lists cannot hold one."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.is_dir() and not is_system(entry.name))
    for name in names:
        if set(name) & set("\t\r\n"):
            raise ValueError(f"{os.path.join(folder, name)!r}: a list cannot hold a name with a tab or a line break: "
                             "rename it")
    images = [name for name in names if name.lower().endswith(IMAGE_EXTENSIONS)]
    return images, sorted(set(names) - set(images))


def images_of(root: str, folder: str, label: Optional[str] = None) -> List[Candidate]:
    """The images in a folder below the root; `label` is their labels' path, {} their names without the extension."""
    return [Candidate(root, f"{folder}/{name}", label_image=label and label.format(stem(name)))
            for name in image_names(os.path.join(root, folder))[0]]


def note(what: str, paths: Sequence[str]) -> List[str]:
    """A note that counts paths and names the first: a list of none or one."""
    return [f"{what}: {len(paths)}, the first {paths[0]}"] if paths else []


def in_folder(root: str, name: str, record: ClassificationDataset, class_of: Callable[[str], int] = lambda name: UNKNOWN
              ) -> Split:
    """The split of the images in <root>/<name>, each of the class that `class_of` says of its name."""
    images, others = image_names(os.path.join(root, name))
    return Split(name, record, [Candidate(root, os.path.join(name, image), class_of(image)) for image in images],
                 note(NO_IMAGES, [os.path.join(name, other) for other in others]))


def in_class_folders(root: str, name: str, record: ClassificationDataset) -> Split:
    """The split `<root>/<name>/<class>/<image>`, in the record's order; ValueError for a folder that is no class's."""
    ids = {folder: class_id for class_id, folder in enumerate(record.folders)}
    samples, others, deeper = [], [], []
    for own, folder in match_folders(os.path.join(root, name), list(ids)).items():
        place = os.path.join(name, folder)
        images, strange = image_names(os.path.join(root, place))
        samples += [Candidate(root, os.path.join(place, image), ids[own]) for image in images]
        others += [os.path.join(place, other) for other in strange]
        deeper += [os.path.join(place, below) for below in class_folders(os.path.join(root, place))]
    beside = [os.path.join(name, image) for image in image_names(os.path.join(root, name))[0]]
    notes = note(NO_IMAGES, others) + note("images beside the folders of classes, left out", beside)
    return Split(name, record, samples, notes + note("folders below those of classes, not looked into", deeper))


class Line(NamedTuple):
    """A line of a drawing: its text, the pattern of its paths below the drawing's folder, when it is needed."""

    text: str
    pattern: str
    conditions: Tuple[str, ...]

    def needed(self, folder: str, asked: Any) -> bool:
        """Whether the line must be there, with these arguments."""
        for condition in self.conditions:
            word, _, path = condition.partition(" ")
            there = any(exists_below(folder, one) for one in path.split(" or "))
            if word == "optional" or (word == "with" and not there) or (word == "unless" and there):
                return False
            if word.startswith("--") and not getattr(asked, word[2:].replace("-", "_")):
                return False
        return True


def drawings(text: str) -> Dict[str, List[Line]]:
    """`{option: [Line, …]}` of every drawing in a docstring."""
    found, stack = {}, []  # (indent, Line) of what may have lines below it
    for row in text.splitlines():
        match = _LINE.match(row)
        indent, path, condition = (len(match.group(1)), *match.groups()[1:]) if match else (0, "", None)
        head = re.fullmatch(r"<(\w+)>/", path)
        if head:
            lines, line = found.setdefault(head.group(1), []), Line(row, "", ())
            stack = []
        elif stack and indent > stack[0][0]:
            while stack[-1][0] >= indent:
                stack.pop()
            above = stack[-1][1]
            line = Line(row, os.path.join(above.pattern, re.sub(r"<\w+>", "*", path)),
                        above.conditions + ((condition,) if condition else ()))
        else:
            stack = []
            continue
        stack.append((indent, line))
        lines.append(line)
    return found


def require_tree(text: str, asked: Any) -> None:
    """UsageError unless there is all that a docstring's drawings need; prints them, with what is missing marked."""
    wrong = []
    for name, lines in drawings(text).items():
        folder = getattr(asked, name)
        if folder is None:
            continue
        missing = [line for line in lines if line.needed(folder, asked) and not exists_below(folder, line.pattern)]
        if missing:
            print("\n".join(line.text + ("    <-- missing" if line in missing else "") for line in lines))
            patterns = [line.pattern for line in missing if line.pattern]
            top = [pattern for pattern in patterns
                   if not any(pattern != other and pattern.startswith(other.rstrip("/") + "/") for other in patterns)]
            more = f" and {len(top) - 1} more" if len(top) > 1 else ""
            wrong.append(f"--{name} {folder} has no {top[0]}{more}: wanted the tree that is printed above the error")
    if wrong:
        raise UsageError("; ".join(wrong))


def exists_below(folder: str, pattern: str) -> bool:
    return any(glob.iglob(os.path.join(glob.escape(folder), pattern)))
