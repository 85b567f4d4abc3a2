"""Archives for the evaluation servers, of the label images that a test wrote.

    python issegm/voc.py --phase test --split test --weights models/voc_rna-a1_cls21_s8_ep-0001.params --test-scales 500
    python tools/submit.py models/voc_rna-a1_cls21_s8_ep-0001_test
    python tools/submit.py models/voc_rna-a1_cls21_s8_ep-0001_test_shard-* --out entry.tgz

PASCAL VOC 2012: <folder>.tgz with results/VOC2012/Segmentation/comp6_test_cls/<image>.png, in VOC's palette.
Cityscapes: <folder>.zip with <city>_<sequence>_<frame>_pred_labelIds.png, in the official label ids.
ADE20K: <folder>.zip with <image>.png, of values 1 to 150.

All label images are checked first: that there is one for every image of the split, of the image's size, and with the
values of classes only. (For ILSVRC, iclass/ilsvrc.py --phase test writes the entry itself, entry.txt.)
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.submit")

import io
import os
import re
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.cli import UsageError, make_parser
from ademxapp.data.images import ImageFile, decode_label, read_bytes, stem
from ademxapp.data.lists import Sample
from ademxapp.driver import read_record, require_one_test
from ademxapp.files import replacing
from ademxapp.flags import Settings, flag
from issegm.datasets import SegmentationDataset
from issegm.outputs import label_path

from .reporting.runs import Run, read_run


@dataclass(frozen=True)
class Entry:
    """What a server wants: the archive's kind, the files' names in it, and whether they have the dataset's palette."""

    end: str
    name: str
    palette: bool


ENTRIES = {
    "voc": Entry(".tgz", "results/VOC2012/Segmentation/{competition}_test_cls/{image}.png", True),
    "cityscapes": Entry(".zip", "{frame}_pred_labelIds.png", False),
    "ade20k": Entry(".zip", "{image}.png", False),
}
_FRAME = re.compile(r"[^_]+_\d{6}_\d{6}(?=_|$)")  # how the names of Cityscapes' files start


@dataclass(frozen=True)
class Submission(Settings):
    """What is asked for."""

    folders: Tuple[str, ...] = flag("folder of a segmentation test, most often of the split test; several are shards "
                                    "of one test", positional=True, nargs="+", metavar="FOLDER")
    out: Optional[str] = flag("the archive (default: the first folder with .tgz or .zip)", metavar="FILE")
    data_root: Optional[str] = flag("where list paths start (default: as in the test)", metavar="DIR")
    competition: str = flag("VOC: trained on VOC's images alone, or on others too, as every network that starts from "
                            "ILSVRC's weights", "comp6", choices=("comp5", "comp6"))
    partial: bool = flag("also of a list that is not the whole split", False)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Check a test's label images, and write the archive."""
    asked = Submission.from_args(make_parser(__doc__, Submission).parse_args(argv))
    run = read_run(asked.folders[0], asked.data_root, whole=True)
    require_one_test(asked.folders, [read_record(folder)[1] for folder in asked.folders])
    entry = ENTRIES.get(run.arguments.dataset) if run.segmentation else None
    if entry is None:
        raise UsageError(f"there is no entry of {run.arguments.dataset}: known are those of {', '.join(ENTRIES)}"
                         + ("" if run.segmentation else "; ILSVRC's is entry.txt, of iclass/ilsvrc.py --phase test"))
    out = asked.out or os.path.normpath(asked.folders[0]) + entry.end
    if not out.endswith(entry.end):
        raise UsageError(f"--out {out}: the server wants a {entry.end} file")
    if not asked.partial:
        require_whole(run)
    names = entry_names(run, entry, asked.competition)
    for sample in tqdm(run.samples, unit="image", desc="checking", disable=None):
        checked_labels(run, sample, asked.folders)
    with replacing(out) as temporary:
        write_archive(temporary, ((name, png_bytes(checked_labels(run, sample, asked.folders), run.record,
                                                   entry.palette))
                                  for name, sample in zip(names, tqdm(run.samples, unit="image", desc="writing",
                                                                      disable=None))))
    print(f"{out}: {len(names)} images of {run.result['split']}, {os.path.getsize(out) / 1e6:.1f} MB, such as "
          f"{names[0]}")


def require_whole(run: Run) -> None:
    """ValueError unless the test was on as many images as the split has."""
    split = run.result["split"]
    wanted = run.record.splits.get(split)
    if wanted is not None and len(run.samples) != wanted:
        raise ValueError(f"the test's list has {len(run.samples):,} images, {run.record.name} {split} has {wanted:,}: "
                         "--partial makes an archive all the same")


def entry_names(run: Run, entry: Entry, competition: str) -> List[str]:
    """The files' names in the archive; ValueError if an image's name is not as the dataset's, or two are the same."""
    names = []
    for sample in run.samples:
        image, frame = stem(sample.image), _FRAME.match(stem(sample.image))
        if frame is None and "{frame}" in entry.name:
            raise ValueError(f"{sample.image} is not named <city>_<sequence>_<frame>_…, as the images of "
                             f"{run.record.name} are")
        names.append(entry.name.format(image=image, frame=frame and frame.group(), competition=competition))
    twice = [name for name, following in zip(sorted(names), sorted(names)[1:]) if name == following]
    if twice:
        raise ValueError(f"two images of the list would both be {twice[0]}")
    return names


def find_label(sample: Sample, folders: Sequence[str]) -> Optional[str]:
    """The path of a sample's label image in one of the folders, or None."""
    return next((path for path in (label_path(folder, sample) for folder in folders) if os.path.isfile(path)), None)


def checked_labels(run: Run, sample: Sample, folders: Sequence[str]) -> np.ndarray:
    """A sample's label image, (H, W) uint8; ValueError unless it is whole, of the image's size, of classes' values."""
    path = find_label(sample, folders)
    if path is None:
        missing = sum(find_label(one, folders) is None for one in run.samples)
        raise ValueError(f"there is no {label_path(folders[0], sample)}: {missing} of {len(run.samples)} label images "
                         "are missing")
    labels = decode_label(read_bytes(path), path)
    height, width = ImageFile(sample.read()[0], sample.image_path).size
    if labels.shape != (height, width):
        raise ValueError(f"{path} has {labels.shape[1]}x{labels.shape[0]} pixels, its image {width}x{height}")
    others = np.setdiff1d(np.unique(labels), run.record.label_ids)
    if len(others):
        raise ValueError(f"{path} has value {others[0]}, which is no class of {run.record.name}")
    return labels.astype(np.uint8)


def png_bytes(labels: np.ndarray, record: SegmentationDataset, palette: bool) -> bytes:
    """A label image's PNG file, grey or in the dataset's colours."""
    image, out = Image.fromarray(labels), io.BytesIO()
    if palette:
        image.putpalette(record.palette.tobytes())
    image.save(out, format="PNG")
    return out.getvalue()


def write_archive(path: str, files: Iterable[Tuple[str, bytes]]) -> None:
    """Write (name, bytes) of every file into the archive that the path's end names."""
    if path.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNGs do not get smaller
            for name, data in files:
                header = zipfile.ZipInfo(name)
                header.external_attr = 0o644 << 16  # else nobody may read what is unpacked
                archive.writestr(header, data)
        return
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
