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
from ademxapp.driver import require_one_test
from ademxapp.files import replacing
from ademxapp.flags import Settings, flag
from issegm.testing import label_path, label_paths

from .reporting.run import Run, read_run

# By dataset: the archive's kind, the files' names in it, whether they have the dataset's palette.
ENTRIES = {
    "voc": (".tgz", "results/VOC2012/Segmentation/{competition}_test_cls/{image}.png", True),
    "cityscapes": (".zip", "{frame}_pred_labelIds.png", False),
    "ade20k": (".zip", "{image}.png", False),
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
    require_one_test(asked.folders)
    if not run.segmentation or run.arguments.dataset not in ENTRIES:
        raise UsageError(f"there is no entry of {run.arguments.dataset}: known are those of {', '.join(ENTRIES)}"
                         + ("" if run.segmentation else "; ILSVRC's is entry.txt, of iclass/ilsvrc.py --phase test"))
    end, pattern, palette = ENTRIES[run.arguments.dataset]
    out = asked.out or os.path.normpath(asked.folders[0]) + end
    if not out.endswith(end):
        raise UsageError(f"--out {out}: the server wants a {end} file")
    split, count = run.result["split"], len(run.samples)
    wanted = run.record.splits.get(split, count)
    if count != wanted and not asked.partial:
        raise ValueError(f"the test's list has {count:,} images, {run.record.name} {split} has {wanted:,}: --partial "
                         "makes an archive all the same")
    names = entry_names(run, pattern, asked.competition)
    for sample in tqdm(run.samples, unit="image", desc="checking", disable=None):
        checked_labels(run, sample, asked.folders)
    images = (checked_labels(run, sample, asked.folders)
              for sample in tqdm(run.samples, unit="image", desc="writing", disable=None))
    with replacing(out) as temporary:
        write_archive(temporary, names, images, run.record.palette if palette else None)
    print(f"{out}: {count} images of {split}, {os.path.getsize(out) / 1e6:.1f} MB, such as {names[0]}")


def entry_names(run: Run, pattern: str, competition: str) -> List[str]:
    """The files' names in the archive; ValueError if an image's name is not as the dataset's, or two are the same."""
    names = []
    for sample in run.samples:
        image, frame = stem(sample.image), _FRAME.match(stem(sample.image))
        if frame is None and "{frame}" in pattern:
            raise ValueError(f"{sample.image} is not named <city>_<sequence>_<frame>_…, as the images of "
                             f"{run.record.name} are")
        names.append(pattern.format(image=image, frame=frame and frame.group(), competition=competition))
    twice = [name for name, following in zip(sorted(names), sorted(names)[1:]) if name == following]
    if twice:
        raise ValueError(f"two images of the list would both be {twice[0]}")
    return names


def checked_labels(run: Run, sample: Sample, folders: Sequence[str]) -> np.ndarray:
    """A sample's label image, (H, W) uint8; ValueError unless it is whole, of the image's size, of classes' values."""
    path = next(iter(label_paths(folders, sample)), None)
    if path is None:
        missing = sum(not label_paths(folders, one) for one in run.samples)
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


def write_archive(path: str, names: Sequence[str], images: Iterable[np.ndarray], palette: Optional[np.ndarray]) -> None:
    """Write label images as PNG files, grey or in a palette's colours, into the archive that the path's end names."""
    with (zipfile.ZipFile(path, "w") if path.endswith(".zip") else tarfile.open(path, "w:gz")) as archive:
        for name, labels in zip(names, images):
            image, out = Image.fromarray(labels), io.BytesIO()
            if palette is not None:
                image.putpalette(palette.tobytes())
            image.save(out, format="PNG")
            if isinstance(archive, zipfile.ZipFile):  # which does not compress: PNGs do not get smaller
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o644 << 16  # else nobody may read what is unpacked
                archive.writestr(entry, out.getvalue())
            else:
                header = tarfile.TarInfo(name)
                header.size = out.tell()
                archive.addfile(header, io.BytesIO(out.getvalue()))
