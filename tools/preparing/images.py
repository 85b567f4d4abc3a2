"""Images with a class each: how they are found, checked, listed and summed up."""
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Tuple

from ademxapp.data.images import decode_rgb, read_bytes
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, write_classification_list
from tools.preparing.pairs import size_lines

UNKNOWN = -1  # the class of images whose truth is not published
SHOWN = 10  # classes named in a line


@dataclass(frozen=True)
class Images:
    """The samples of a classification dataset; `sizes` is {split: images} of the whole dataset."""

    class_names: Tuple[str, ...]
    sizes: Dict[str, int] = field(default_factory=dict)

    def inspect(self, sample):
        """(width, height); ValueError or OSError if the image is broken."""
        height, width, _ = decode_rgb(read_bytes(sample.image_path), sample.image_path).shape
        return width, height

    def write_list(self, path, samples):
        """Write the list of `samples`."""
        write_classification_list(path, samples)

    def summary(self, samples, findings):
        """Lines about sizes, classes and oddities; none about sizes where no file was opened: `findings` is None."""
        if findings is not None:
            yield from size_lines(findings)
        counts = Counter(sample.class_id for sample in samples)
        if set(counts) == {UNKNOWN}:
            yield f"the classes are not known: {UNKNOWN} in the list"
            return
        yield from self._class_lines(counts)
        never = [name for class_id, name in enumerate(self.class_names) if class_id not in counts]
        if never:
            yield f"odd: classes that never occur: {len(never):,} of {len(self.class_names):,}: {_first(never)}"

    def _class_lines(self, counts):
        """The classes with their images where they are few; else the fewest and the most."""
        if len(self.class_names) <= 2 * SHOWN:
            width = max(map(len, self.class_names))
            for class_id, name in enumerate(self.class_names):
                yield f"{class_id:2} {name:{width}}  {counts[class_id]:7,} images"
            return
        order = sorted(counts, key=lambda class_id: (counts[class_id], class_id))
        few, many = order[0], order[-1]
        yield (f"{len(counts):,} of {len(self.class_names):,} classes, images in each: {counts[few]:,} "
               f"({self.class_names[few]}) to {counts[many]:,} ({self.class_names[many]}), "
               f"{counts[order[len(order) // 2]]:,} in the median")


def in_class_folders(root, split, ids):
    """Samples of `<root>/<split>/<class>/<image>`, with classes numbered by `ids`, {folder: class}; and notes.

    Hidden files and folders are left out without a word, as macOS and Jupyter leave some.

    Raises ValueError for a folder that `ids` does not have.
    """
    samples, others = [], []
    folders = class_folders(os.path.join(root, split))
    strange = [name for name in folders if name not in ids]
    if strange:
        raise ValueError(f"{os.path.join(root, split)} has folders that are no class's: {_first(strange)}; wanted such "
                         f"as {_first(list(ids)[:3])}")
    for folder in folders:
        names, strange = image_names(os.path.join(root, split, folder))
        samples += [Sample(root, os.path.join(split, folder, name), ids[folder]) for name in names]
        others += [os.path.join(split, folder, name) for name in strange]
    beside = image_names(os.path.join(root, split))[0]
    notes = [f"images beside the folders of classes, left out: {len(beside)}, the first "
             f"{os.path.join(split, beside[0])}"] if beside else []
    return samples, no_images(others) + notes


def image_names(folder):
    """Sorted names of the images in a folder, and of its other files."""
    names = sorted(_visible(folder, folders=False))
    images = [name for name in names if name.lower().endswith(IMAGE_EXTENSIONS)]
    return images, sorted(set(names) - set(images))


def no_images(paths):
    """A note about files that are no images by their names: a list of none or one."""
    return [f"files that are no images by their names: {len(paths)}, the first {paths[0]}"] if paths else []


def class_folders(folder):
    """Sorted names of the folders in a folder that are not hidden."""
    return sorted(_visible(folder, folders=True))


def _visible(folder, folders):
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() == folders and not entry.name.startswith(".")]
    for name in names:
        if set(name) & set("\t\r\n"):
            raise ValueError(f"{os.path.join(folder, name)!r}: a list cannot hold a name with a tab or a line break: "
                             "rename it")
    return names


def _first(names):
    """Some names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
