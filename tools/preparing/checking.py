"""From a split's samples to a checked list: labels are made, files looked into, and what there is is summed up."""
import math
import os
from collections import Counter, defaultdict
from functools import partial
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError, one_line
from ademxapp.data.class_folders import some
from ademxapp.data.images import ImageFile, read_bytes, write_png
from ademxapp.data.lists import write_classification_list, write_segmentation_list
from ademxapp.files import digest, write_text
from ademxapp.processes import Pool
from iclass.datasets import ClassificationDataset
from issegm.datasets import SegmentationDataset, open_pair

from .common import UNKNOWN, Candidate, Preparation, Record, Split

OddColour = Tuple[int, Tuple[int, int, int]]  # a class's value in the label files, and a colour
SHOWN = 10  # more classes than twice this have no line each


class Finding(NamedTuple):
    """What an image and its label hold."""

    size: Tuple[int, int]  # width, height
    orientation: int  # EXIF's
    pixels: Optional[np.ndarray] = None  # (classes + 1,), of each class and, the last, those that do not count
    odd_colour: Optional[OddColour] = None  # as of `odd_colour`


def prepare_split(split: Split, asked: Preparation, pool: Pool) -> None:
    """Make a split's labels, check its samples, write its list, and print what is in it."""
    what = f"{split.record.name} {split.name}"
    if not split.samples:
        raise ValueError(f"{what} has no images below {asked.root}")
    found: List[Union[None, str, Finding]] = [fault_of_names(sample) for sample in split.samples]
    require_whole(found, asked)
    opened = not (asked.no_decode or split.drawn)
    if opened:
        require_writable(split)
        there = [index for index, fault in enumerate(found) if not fault]
        results = pool.map(partial(examine, split.record, split.afresh), [split.samples[i] for i in there], what)
        for index, result in zip(there, results):
            require_whole([result], asked)
            found[index] = result
    broken = [(sample, fault) for sample, fault in zip(split.samples, found) if isinstance(fault, str)]
    whole = [(sample, finding) for sample, finding in zip(split.samples, found) if not isinstance(finding, str)]
    if not whole:
        raise ValueError(f"all {len(broken)} images of {what} are broken, the first: {broken[0][1]}")
    samples, findings = zip(*whole)
    path = os.path.join(asked.out, split.record.name, split.name)
    labelled = isinstance(split.record, SegmentationDataset)
    (write_segmentation_list if labelled else write_classification_list)(f"{path}.lst", samples)
    if broken:
        write_text(f"{path}.left-out.txt", "".join(f"{sample.image}\t{fault}\n" for sample, fault in broken))
        print(f"{path}.left-out.txt: {len(broken)} images left out, the first: {broken[0][1]}")
    elif os.path.exists(f"{path}.left-out.txt"):
        os.unlink(f"{path}.left-out.txt")
    print(f"{path}.lst: {len(samples)} images")
    print("".join(f"  {line}\n" for line in summary(split, samples, findings if opened else None)), end="", flush=True)


def fault_of_names(sample: Candidate) -> Optional[str]:
    """Why a sample cannot be used, where its files are not there or cannot stand in a list; else None."""
    for path in (sample.image, sample.label_image):
        if path is None:
            continue
        if os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir:
            return sample.fault(f"the path {path!r} leaves --root {sample.root}")
        if any(mark in path for mark in "\t\r\n"):
            return sample.fault(f"the path {path!r} has a tab or a line break, which lists cannot hold")
        made = path == sample.label_image and sample.make
        if not made and not os.path.isfile(os.path.join(sample.root, path)):
            return sample.fault(f"{os.path.join(sample.root, path)} is missing")
    return None


def require_whole(found: Sequence[Union[None, str, Finding]], asked: Preparation) -> None:
    """ValueError if there is a fault, which is allowed with --skip-broken."""
    faults = [fault for fault in found if isinstance(fault, str)]
    if faults and not asked.skip_broken:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}; --skip-broken leaves out what is missing or broken")


def require_writable(split: Split) -> None:
    """UsageError unless the labels that a split lacks can be written."""
    for sample in split.samples:
        if sample.make and not os.path.exists(sample.label_path):
            folder = above = os.path.dirname(sample.label_path)
            while not os.path.exists(above):
                above = os.path.dirname(above)
            if not os.access(above, os.W_OK):
                raise UsageError(f"{folder} cannot be written: labels are converted to images there, below --root, "
                                 "where the paths in lists start; make it writable, or let it be a link to a place "
                                 "that is")
            return


def examine(record: Record, afresh: bool, sample: Candidate) -> Union[str, Finding]:
    """Make a sample's label if need be, and look into its files: what they hold, or why it cannot be used."""
    try:
        label = sample.make() if sample.make and (afresh or not os.path.isfile(sample.label_path)) else None
    except (ValueError, OSError) as error:
        return sample.fault(one_line(error))
    if label is not None:
        write_png(sample.label_path, label, record.palette)  # outside of try: a full disk is no broken sample
    try:
        if isinstance(record, ClassificationDataset):
            image, label = ImageFile(read_bytes(sample.image_path), sample.image_path), None
        else:
            image, label = open_pair(sample, record)
        height, width, _ = image.rgb().shape
        if label is None:
            return Finding((width, height), image.orientation)
        counts = np.bincount(label.ravel(), minlength=256)
        pixels = np.append(counts[:record.classes], counts[IGNORE_LABEL])
        odd = odd_colour(sample.label_path, np.flatnonzero(pixels[:-1]), record)
        return Finding((width, height), image.orientation, pixels, odd)
    except (ValueError, OSError) as error:
        return sample.fault(one_line(error))


def odd_colour(path: str, found: np.ndarray, record: SegmentationDataset) -> Optional[OddColour]:
    """A class's value that a label shows in another colour, and that; ValueError where it is another class's."""
    if not record.colours:
        return None
    with Image.open(path) as image:
        palette = np.reshape(image.getpalette() if image.mode == "P" else (), (-1, 3))
    values = [record.label_ids[index] for index in found]
    shown = {value: tuple(map(int, palette[value])) for value in values if value < len(palette)}
    known = {value: tuple(record.colours[value]) for value in record.label_ids if value < len(record.colours)}
    wrong = {value: colour for value, colour in shown.items() if value in known and colour != known[value]}
    for value, colour in wrong.items():
        others = [other for other, own in known.items() if own == colour]
        if others and len(set(shown.values())) == len(shown):
            index, other = (record.class_names[record.label_ids.index(one)] for one in (value, others[0]))
            raise ValueError(f"{path} has {colour} as the colour of its value {value}, {index}, which the dataset's "
                             f"colours have for {others[0]}, {other}: are they numbered otherwise there? Mend "
                             "label_ids or colours; a label saved in RGB is converted by its colours")
    return next(iter(wrong.items()), None)


def summary(split: Split, samples: Sequence[Candidate], findings: Optional[Sequence[Finding]]) -> Iterator[str]:
    """Lines about a split, of which `samples` are whole; `findings` is None where no file was opened."""
    record = split.record
    yield from (f"odd: {line}" for line in split.notes)
    wanted = record.splits.get(split.name)
    if wanted and wanted != len(split.samples):
        yield f"odd: the whole {record.name} {split.name} has {wanted:,} images"
    twice = len(samples) - len({sample.image for sample in samples})
    if twice:
        yield f"odd: {twice} images are named more than once"
    unmade = sum(sample.make is not None and not os.path.isfile(sample.label_path) for sample in samples)
    if unmade:
        yield f"odd: {unmade} labels are not made yet: without --no-decode, they are"
    if findings is not None:
        sizes = Counter(finding.size for finding in findings)
        (width, height), most = sizes.most_common(1)[0]
        if len(sizes) == 1:
            yield f"all images have {width}x{height} pixels"
        else:
            smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
            yield (f"{len(sizes)} sizes, from {smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]}, most often "
                   f"{width}x{height} ({most} images)")
            if isinstance(record, SegmentationDataset) and record.same_size:
                yield f"odd: there are several sizes, where images of {record.name} have one"
        turned = [(sample, finding) for sample, finding in zip(samples, findings) if finding.orientation != 1]
        if turned:
            sample, finding = turned[0]
            labelled = "" if sample.label_image is None else ": look whether the labels lie so, too"
            yield (f"odd: {len(turned)} images are shown turned by their EXIF orientation, but training and tests take "
                   f"pixels as they are stored{labelled}; the first {sample.image}, {finding.orientation}")
    if isinstance(record, ClassificationDataset):
        yield from image_lines(record.class_names, Counter(sample.class_id for sample in samples))
    elif findings is not None:
        yield from label_lines(record, samples, findings)


def image_lines(names: Sequence[str], counts: Dict[int, int]) -> Iterator[str]:
    """{class: its images}: a line for each class where they are few, else the fewest and the most."""
    if set(counts) == {UNKNOWN}:
        yield f"the classes are not known: {UNKNOWN} in the list"
        return
    if len(names) <= 2 * SHOWN:
        width = max(map(len, names))
        for class_id, name in enumerate(names):
            yield f"{class_id:2} {name:{width}}  {counts[class_id]:7,} images"
    else:
        order = sorted(counts, key=lambda class_id: (counts[class_id], class_id))
        few, median, many = order[0], order[len(order) // 2], order[-1]
        yield (f"{len(counts):,} of {len(names):,} classes, images in each: {counts[few]:,} ({names[few]}) to "
               f"{counts[many]:,} ({names[many]}), {counts[median]:,} in the median")
    never = [name for class_id, name in enumerate(names) if class_id not in counts]
    if never:
        yield f"odd: classes that never occur: {len(never):,} of {len(names):,}: {some(never)}"


def label_lines(record: SegmentationDataset, samples: Sequence[Candidate], found: Sequence[Finding]) -> Iterator[str]:
    """A table of classes in the labels, and what is odd about them."""
    if samples[0].label_image is None:
        yield "no labels"
        return
    pixels = np.array([finding.pixels for finding in found])
    totals, names = pixels.sum(0), (*record.class_names, "(not counted)")
    width = max(map(len, names))
    yield f"{'class':{width}}  {'images':>7}  {'pixels':>15}  share"
    for name, images, count in zip(names, (pixels > 0).sum(0), totals):
        yield f"{name:{width}}  {images:7,}  {count:15,}  {100 * count / totals.sum():5.2f} %"
    never = [name for name, count in zip(record.class_names, totals) if not count]
    if never:
        more = f", and {len(never) - 20} more" if len(never) > 20 else ""
        hint = (f"; if {', '.join(map(str, record.ignored_ids))} in the labels is a class's, say so in label_ids and "
                "ignored_ids") if totals[-1] and record.ignored_ids else ""
        yield f"odd: {len(never)} of {record.classes} classes never occur: {', '.join(never[:20])}{more}{hint}"
    odd = [(sample, finding.odd_colour) for sample, finding in zip(samples, found) if finding.odd_colour]
    if odd:
        sample, (value, colour) = odd[0]
        yield (f"odd: {len(odd)} labels show classes in other colours than the dataset's, the first "
               f"{sample.label_image}: {value} is {colour} there")
    void = [sample.label_image for sample, counts in zip(samples, pixels) if not counts[:-1].any()]
    if void:
        yield f"odd: {len(void)} labels have nothing that counts, the first {void[0]}"


def shared_images(splits: Sequence[Split]) -> Iterator[str]:
    """A line about images that several splits have, file for file; only files of one size are compared."""
    by_size, same = defaultdict(list), defaultdict(dict)
    for split in splits:
        for sample in split.samples:
            if os.path.isfile(sample.image_path):
                by_size[os.path.getsize(sample.image_path)].append((split.name, sample.image_path))
    for group in by_size.values():
        for name, path in group if len(dict(group)) > 1 else ():
            same[digest(path)][name] = path
    shared = [paths for paths in same.values() if len(paths) > 1]
    if shared:
        yield (f"{len(shared)} images are in several splits, whose scores then say nothing of new ones; the first "
               f"{', '.join(shared[0].values())}")
