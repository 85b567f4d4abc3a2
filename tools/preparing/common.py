"""What every preparer shares: its arguments, and the way from a split's samples to a checked list with a summary."""
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.cli import UsageError, number, one_line
from ademxapp.data.images import read_bytes, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.tables import each_line, plain_text
from ademxapp.files import digest, write_text
from ademxapp.flags import Settings, flag
from ademxapp.machine import processors
from ademxapp.processes import Pool

from .images import Images
from .pairs import Pairs

Maker = Callable[[], np.ndarray]  # of a label map, (H, W) uint8


@dataclass(frozen=True)
class Split:
    """A list to write, `<out>/<dataset>/<name>.lst`.

    Attributes
    ----------
    dataset, name : str
    samples : sequence of Sample
    kind : Pairs or Images
        How samples are checked, listed and summed up.
    origins : sequence of str, optional
        `file:line` that names each sample, for messages.
    makers : dict, optional
        For labels that the dataset ships in another form, {label path below the root: function without arguments,
        picklable, that returns the label map, (H, W) uint8}. A label that exists is not made again, unless `afresh`.
    notes : sequence of str
        What is odd about the dataset's files and folders.
    drawn : bool
        The files were just made here, and are not looked into.
    """

    dataset: str
    name: str
    samples: Sequence[Sample]
    kind: Union[Pairs, Images]
    origins: Optional[Sequence[str]] = None
    makers: Dict[str, Maker] = field(default_factory=dict)
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


@dataclass(frozen=True)
class OwnPreparation(Preparation):
    """What a dataset of one's own is asked for."""

    name: Optional[str] = flag("of the dataset, as labels and lists will have it (default: the root's name, in small "
                               "letters, with '-' for what no label can have)")


@dataclass(frozen=True)
class Broken:
    """Why a sample cannot be used."""

    reason: str


def dataset_name(asked: OwnPreparation, given: Optional[str] = None) -> str:
    """The name of the dataset, by --name, as `given`, or by the root; UsageError if no label can have it."""
    folder = os.path.basename(os.path.abspath(asked.root)).lower()
    name = asked.name or given or re.sub(r"[^a-z0-9]+", "-", folder).strip("-")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise UsageError(f"--name {name!r}: wanted small letters, digits and '-', as in pets_rna-a1_cls37")
    return name


def prepare_split(split: Split, asked: Preparation, pool: Pool) -> None:
    """Make a split's labels, check its samples, write its list, and print what is in it."""
    path = os.path.join(asked.out, split.dataset, f"{split.name}.lst")
    if not split.samples:
        raise ValueError(f"{split.dataset} {split.name} has no images below {asked.root}")
    found = [_look_at_names(sample, split.makers) for sample in split.samples]
    _require_whole(split, found, asked)
    opened = not (asked.no_decode or split.drawn)
    if opened:
        require_writable(split, asked.root)
        there = [index for index, finding in enumerate(found) if finding is None]
        for index, finding in zip(there, _examine(split, there, pool)):
            found[index] = finding
            _require_whole(split, found[index:index + 1], asked, index)
    broken = [(sample, _reason(split, index, finding.reason))
              for index, (sample, finding) in enumerate(zip(split.samples, found)) if isinstance(finding, Broken)]
    if len(broken) == len(found):
        raise ValueError(f"all {len(broken)} images of {split.dataset} {split.name} are broken, the first: "
                         f"{broken[0][1]}")
    samples, findings = zip(*((sample, finding) for sample, finding in zip(split.samples, found)
                              if not isinstance(finding, Broken)))
    split.kind.write_list(path, samples)
    _write_left_out(f"{os.path.splitext(path)[0]}.left-out.txt", broken)
    print(f"{path}: {len(samples)} images")
    for line in _oddities(split, samples, broken):
        print(f"  odd: {line}")
    lines = split.kind.summary(samples, findings if opened else None)
    print("".join(f"  {line}\n" for line in lines), end="", flush=True)


def shared_images(splits: Sequence[Split]) -> Iterator[str]:
    """A line about images that several splits have, file for file; only files of one size are compared."""
    by_size, same = defaultdict(list), defaultdict(list)
    for split in splits:
        for sample in split.samples:
            if os.path.isfile(sample.image_path):
                by_size[os.path.getsize(sample.image_path)].append((split.name, sample.image_path))
    for group in by_size.values():
        for name, path in group if len({name for name, _ in group}) > 1 else ():
            same[digest(path)].append((name, path))
    shared = [dict(group) for group in same.values() if len({name for name, _ in group}) > 1]
    if shared:
        yield (f"{len(shared)} images are in several splits, whose scores then say nothing of new ones; the first "
               f"{', '.join(shared[0].values())}")


def lines_of(root: str, name: str) -> List[Tuple[str, str]]:
    """`(text, "file:line")` of every line of a text file below `root` that is not blank, whichever editor wrote it."""
    path = os.path.join(root, name)
    lines = each_line(plain_text(read_bytes(path), path))
    return [(line.strip(), f"{path}:{count}") for count, line in enumerate(lines, 1) if line.strip()]


def path_below(root: str, folder: str, option: str, link: str) -> str:
    """The path of `folder` below `root`, by a symbolic link <root>/<link> if it lies elsewhere.

    Lists name only what is below the root. UsageError if the link cannot be made.
    """
    for resolved in (os.path.abspath, os.path.realpath):
        path = os.path.relpath(resolved(folder), resolved(root))
        if path.split(os.sep)[0] != os.pardir:
            return path
    place = os.path.join(root, link)
    if not os.path.lexists(place):
        try:
            os.symlink(os.path.abspath(folder), place)
        except OSError as error:
            raise UsageError(f"{option} {folder} is not below --root {root}, where the paths in lists start, and "
                             f"cannot be linked there: {error.strerror}; move it there") from None
        print(f"{place} is now a link to {folder}: the paths in lists start at --root")
    if not os.path.samefile(place, folder):
        raise UsageError(f"{option} {folder} is not below --root {root}, where the paths in lists start, and {place} "
                         "is something else: move one of them")
    return link


def require_writable(split: Split, root: str) -> None:
    """UsageError unless the labels that a split lacks can be written."""
    label = next((label for label in split.makers if not os.path.exists(os.path.join(root, label))), None)
    if label is None:
        return
    folder = os.path.dirname(os.path.join(root, label))
    above = folder
    while not os.path.exists(above):
        above = os.path.dirname(above)
    if not os.access(above, os.W_OK):
        raise UsageError(f"{folder} cannot be written: labels are converted to images there, below --root, where the "
                         "paths in lists start; make it writable, or let it be a link to a place that is")


def _look_at_names(sample: Sample, makers: Dict[str, Maker]) -> Optional[Broken]:
    """Broken where a sample's files are not there and cannot be made, or cannot stand in a list; else None."""
    for path in (sample.image, sample.label_image):
        if path is None:
            continue
        if os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir:
            return Broken(f"the path {path!r} leaves --root {sample.root}")
        if any(mark in path for mark in "\t\r\n"):
            return Broken(f"the path {path!r} has a tab or a line break, which lists cannot hold")
        if path not in makers and not os.path.isfile(os.path.join(sample.root, path)):
            return Broken(f"{os.path.join(sample.root, path)} is missing")
    return None


def _require_whole(split: Split, found: Sequence[Any], asked: Preparation, first: int = 0) -> None:
    """ValueError if one of the findings, from the split's `first` sample on, is Broken; none with --skip-broken."""
    wrong = [index for index, finding in enumerate(found) if isinstance(finding, Broken)]
    if wrong and not asked.skip_broken:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ValueError(f"{_reason(split, first + wrong[0], found[wrong[0]].reason)}{more}; --skip-broken leaves out "
                         "what is missing or broken")


def _reason(split: Split, index: int, reason: str) -> str:
    """Why a sample is left out, with the line that names it."""
    return f"{split.origins[index]}: {reason}" if split.origins else reason


def _examine(split: Split, indices: Sequence[int], pool: Pool) -> Iterator[Any]:
    """What these samples hold, or Broken, in order."""
    items = [(split.samples[index], split.makers.get(split.samples[index].label_image)) for index in indices]
    return pool.map(partial(_examine_one, split.kind, split.afresh), items, f"{split.dataset} {split.name}")


def _examine_one(kind: Union[Pairs, Images], afresh: bool, item: Tuple[Sample, Optional[Maker]]) -> Any:
    """Make a sample's label if need be, and look into its files."""
    sample, make = item
    if make is not None and (afresh or not os.path.isfile(sample.label_path)):
        try:
            label = make()
        except (ValueError, OSError) as error:
            return Broken(one_line(error))
        write_png(sample.label_path, label, kind.palette)  # outside of try: a full disk is no broken sample
    try:
        return kind.inspect(sample)
    except (ValueError, OSError) as error:
        return Broken(one_line(error))


def _write_left_out(path: str, broken: Sequence[Tuple[Sample, str]]) -> None:
    if broken:
        write_text(path, "".join(f"{sample.image}\t{reason}\n" for sample, reason in broken))
        print(f"{path}: {len(broken)} images left out, the first: {broken[0][1]}")
    elif os.path.exists(path):
        os.unlink(path)


def _oddities(split: Split, samples: Sequence[Sample], broken: Sequence[Tuple[Sample, str]]) -> Iterator[str]:
    """What may surprise in a list's names and numbers."""
    yield from split.notes
    wanted = split.kind.sizes.get(split.name)
    if wanted and wanted != len(samples) + len(broken):
        yield f"the whole {split.dataset} {split.name} has {wanted:,} images"
    twice = len(samples) - len({sample.image for sample in samples})
    if twice:
        yield f"{twice} images are named more than once"
    unmade = [sample for sample in samples
              if sample.label_image in split.makers and not os.path.isfile(sample.label_path)]
    if unmade:
        yield f"{len(unmade)} labels are not made yet: without --no-decode, they are"
