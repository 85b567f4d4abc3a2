"""A small dataset of many kinds of files, for the tests of packing and of records."""
import os
import pathlib

import numpy as np
from PIL import Image

from ademxapp.data.lists import read_classification_list, read_segmentation_list
from ademxapp.data.packing import Encoding, make_plan, pack

IMAGES = 7
CLASSES = 3
SUFFIXES = (".jpg", ".png", ".JPEG", ".jpg")


def write_dataset(root):
    """Images (some grey, one with EXIF orientation, names with spaces and umlauts), labels, cls.lst and seg.lst."""
    rng, turned = np.random.default_rng(0), Image.Exif()
    turned[0x0112] = 6
    cls, seg = [], []
    for i in range(IMAGES):
        size = (30 + 3 * i, 41 - 2 * i)
        y, x = np.mgrid[:size[0], :size[1]]
        waves = [128 + 100 * np.sin(x / (4 + c) + i) * np.cos(y / (6 + c)) for c in range(3)]
        image = Image.fromarray((np.stack(waves, -1) + rng.normal(0, 3, (*size, 3))).astype(np.uint8))
        name = f"bilder {i % 2}/ä{i}{SUFFIXES[i % 4]}"
        os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
        image = image.convert("L") if i == 3 else image
        image.save(os.path.join(root, name), **({"exif": turned.tobytes()} if i == 4 else {}))
        Image.fromarray(rng.choice([0, 1, 2, 255], size).astype(np.uint8)).save(os.path.join(root, f"truth{i}.png"))
        cls.append(f"{i}\t{i % CLASSES}\t{name}\n")
        seg.append(f"{name}\ttruth{i}.png\n")
    for task, lines in (("cls", cls), ("seg", seg)):
        with open(os.path.join(root, f"{task}.lst"), "w", encoding="utf-8") as out:
            out.write("".join(lines))


def samples_of(root, task):
    """The samples of cls.lst or seg.lst."""
    path = os.path.join(root, f"{task}.lst")
    return read_classification_list(path, root) if task == "cls" else read_segmentation_list(path, root)


def serial(function, items, description, chunk):
    """How `pack` runs a function here."""
    return map(function, items)


def packed(prefix, samples, encoding=None, **options):
    """Pack samples; what `pack` returns."""
    task = "segmentation" if samples[0].label_image else "classification"
    options.setdefault("run", serial)
    return pack(str(prefix), samples, make_plan(samples, task, encoding or Encoding()), name="x.lst", **options)


def contents(prefix):
    """The bytes of PREFIX.rec and PREFIX.idx."""
    return [pathlib.Path(f"{prefix}.{suffix}").read_bytes() for suffix in ("rec", "idx")]
