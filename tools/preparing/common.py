"""What every preparer shares: its arguments, and the way from a split's samples to a checked list with a summary."""
import os
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Dict, Optional, Sequence

from ademxapp.cli import UsageError, number, one_line
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample
from ademxapp.files import write_text
from tools.preparing.parallel import processors


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
        picklable, that returns the label map, (H, W) uint8}. A label that exists is not made again.
    notes : sequence of str
        What is odd about the dataset's files and folders.
    """

    dataset: str
    name: str
    samples: Sequence[Sample]
    kind: object
    origins: Optional[Sequence[str]] = None
    makers: Dict[str, Callable] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Broken:
    """Why a sample cannot be used."""

    reason: str


def add_arguments(parser):
    """The arguments of every dataset."""
    parser.add_argument("--root", required=True, metavar="DIR", help="folder of the downloaded dataset")
    parser.add_argument("--out", default="data", metavar="DIR", help="folder of the lists' folders")
    parser.add_argument("--no-decode", action="store_true", help="names and counts only: open no image, make no label")
    parser.add_argument("--skip-broken", action="store_true", help="leave out what is missing or broken, and name it "
                        "in <split>.left-out.txt beside the list (default: end with the first)")
    parser.add_argument("--workers", type=number(int, 1, 256), default=processors(), metavar="N", help="processes")


def prepare_split(split, args, workers):
    """Make a split's labels, check its samples, write its list, and print what is in it."""
    path = os.path.join(args.out, split.dataset, f"{split.name}.lst")
    if not split.samples:
        raise ValueError(f"{split.dataset} {split.name} has no images below {args.root}")
    if not args.no_decode:
        require_writable(split, args.root)
    found = _examine_names(split) if args.no_decode else _examine(split, workers)
    origins = split.origins or [None] * len(split.samples)
    good, broken = [], []
    for sample, origin, finding in zip(split.samples, origins, found):
        if not isinstance(finding, Broken):
            good.append((sample, finding))
            continue
        reason = f"{origin}: {finding.reason}" if origin else finding.reason
        if not args.skip_broken:
            raise ValueError(f"{reason}; --skip-broken leaves out what is broken")
        broken.append((sample, reason))
    if not good:
        raise ValueError(f"all {len(broken)} images of {split.dataset} {split.name} are broken, the first: "
                         f"{broken[0][1]}")
    samples, findings = zip(*good)
    split.kind.write_list(path, samples)
    _write_left_out(f"{os.path.splitext(path)[0]}.left-out.txt", broken)
    print(f"{path}: {len(samples)} images")
    for line in _oddities(split, samples, broken):
        print(f"  odd: {line}")
    lines = split.kind.summary(samples, None if args.no_decode else findings)
    print("".join(f"  {line}\n" for line in lines), end="", flush=True)


def lines_of(root, name):
    """`(text, "file:line")` of every line of a text file below `root` that is not blank."""
    path = os.path.join(root, name)
    try:
        with open(path, encoding="utf-8") as lines:
            return [(line.strip(), f"{path}:{count}") for count, line in enumerate(lines, 1) if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of names: {error}") from None


def path_below(root, folder, option, link):
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


def require_writable(split, root):
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


def _examine_names(split):
    """None or Broken for every sample, by its files' names."""
    for sample in split.samples:
        missing = _missing(sample, split)
        yield Broken(f"{missing} is missing") if missing else None


def _missing(sample, split):
    """The path of a sample that is not there and cannot be made, or None."""
    paths = [sample.image_path]
    if sample.label_image is not None and sample.label_image not in split.makers:
        paths.append(sample.label_path)
    return next((path for path in paths if not os.path.isfile(path)), None)


def _examine(split, workers):
    """What each sample holds, or Broken, in order."""
    items = [(sample, split.makers.get(sample.label_image)) for sample in split.samples]
    return workers.map(partial(_examine_one, split.kind), items, f"{split.dataset} {split.name}")


def _examine_one(kind, item):
    """Make a sample's label if need be, and look into its files."""
    sample, make = item
    if make is not None and not os.path.isfile(sample.label_path):
        try:
            label = make()
        except (ValueError, OSError) as error:
            return Broken(one_line(error))
        write_png(sample.label_path, label, kind.palette)  # outside of try: a full disk is no broken sample
    try:
        return kind.inspect(sample)
    except (ValueError, OSError) as error:
        return Broken(one_line(error))


def _write_left_out(path, broken):
    if broken:
        write_text(path, "".join(f"{sample.image}\t{reason}\n" for sample, reason in broken))
        print(f"{path}: {len(broken)} images left out, the first: {broken[0][1]}")
    elif os.path.exists(path):
        os.unlink(path)


def _oddities(split, samples, broken):
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
