"""Images with a class each: how they are found, checked, listed and summed up."""
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ademxapp.data.class_folders import class_folders, is_system, match_folders, some
from ademxapp.data.images import ImageFile, read_bytes
from ademxapp.data.lists import IMAGE_EXTENSIONS, Sample, write_classification_list

from .pairs import size_lines, turned_lines

Finding = Tuple[Tuple[int, int], int]  # an image's (width, height), and its EXIF orientation
UNKNOWN = -1  # the class of images whose truth is not published
SHOWN = 10  # more classes than twice this have no line each


@dataclass(frozen=True)
class Images:
    """The samples of a classification dataset; `sizes` is {split: images} of the whole dataset."""

    class_names: Tuple[str, ...]
    sizes: Dict[str, int] = field(default_factory=dict)

    def inspect(self, sample: Sample) -> Finding:
        """(width, height), and the EXIF orientation; ValueError or OSError if the image is broken."""
        file = ImageFile(read_bytes(sample.image_path), sample.image_path)
        height, width, _ = file.rgb().shape
        return (width, height), file.orientation

    def write_list(self, path: str, samples: Sequence[Sample]) -> None:
        """Write the list of `samples`."""
        write_classification_list(path, samples)

    def summary(self, samples: Sequence[Sample], findings: Optional[Sequence[Finding]]) -> Iterator[str]:
        """Lines about sizes, classes and oddities; none about sizes where no file was opened: `findings` is None."""
        if findings is not None:
            yield from size_lines([size for size, _ in findings])
            yield from turned_lines(samples, [orientation for _, orientation in findings])
        counts = Counter(sample.class_id for sample in samples)
        if set(counts) == {UNKNOWN}:
            yield f"the classes are not known: {UNKNOWN} in the list"
            return
        yield from self._class_lines(counts)
        never = [name for class_id, name in enumerate(self.class_names) if class_id not in counts]
        if never:
            yield f"odd: classes that never occur: {len(never):,} of {len(self.class_names):,}: {some(never)}"

    def _class_lines(self, counts: Dict[int, int]) -> Iterator[str]:
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


def in_class_folders(root: str, split: str, ids: Dict[str, int]) -> Tuple[List[Sample], List[str]]:
    """Samples of `<root>/<split>/<class>/<image>`, with classes numbered by `ids`, {folder: class}; and notes.

    Hidden files and folders, and systems', are left out without a word.

    Raises ValueError for a folder that `ids` does not have.
    """
    samples, others, deeper = [], [], []
    for name, folder in match_folders(os.path.join(root, split), list(ids)).items():
        place = os.path.join(split, folder)
        images, strange = image_names(os.path.join(root, place))
        samples += [Sample(root, os.path.join(place, image), ids[name]) for image in images]
        others += [os.path.join(place, other) for other in strange]
        deeper += [os.path.join(place, below) for below in class_folders(os.path.join(root, place))]
    beside = [os.path.join(split, name) for name in image_names(os.path.join(root, split))[0]]
    return samples, (no_images(others) + note("images beside the folders of classes, left out", beside)
                     + note("folders below those of classes, not looked into", deeper))


def image_names(folder: str) -> Tuple[List[str], List[str]]:
    """Sorted names of the images in a folder, and of its other files, hidden ones left out."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not entry.is_dir() and not is_system(entry.name))
    require_listable(folder, names)
    images = [name for name in names if name.lower().endswith(IMAGE_EXTENSIONS)]
    return images, sorted(set(names) - set(images))


def no_images(paths: Sequence[str]) -> List[str]:
    """A note about files that are no images by their names: a list of none or one."""
    return note("files that are no images by their names", paths)


def note(what: str, paths: Sequence[str]) -> List[str]:
    """A note that counts paths and names the first: a list of none or one."""
    return [f"{what}: {len(paths)}, the first {paths[0]}"] if paths else []


def require_listable(folder: str, names: Iterable[str]) -> None:
    """ValueError for a name that a list cannot hold."""
    for name in names:
        if set(name) & set("\t\r\n"):
            raise ValueError(f"{os.path.join(folder, name)!r}: a list cannot hold a name with a tab or a line break: "
                             "rename it")
