"""Small datasets in the layout that the programs want, and Pythons without some packages."""
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from conftest import ROOT

from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.images import write_png


def write_data(root):
    """A class tree `tiny` and a segmentation set `demo` below data/, eight and four images each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                write_png(f"{root}/data/tiny/{split}/{name}/{i}.png", noise(rng, 40, 48))
        lines = []
        for i in range(2 * count):
            write_png(f"{root}/data/demo/images/{split}{i}.png", noise(rng, 40, 48))
            label = rng.choice([0, 1, 2, 5, 255], (8, 12)).astype(np.uint8).repeat(5, 0).repeat(4, 1)
            write_png(f"{root}/data/demo/labels/{split}{i}.png", label, voc_palette())
            lines.append(f"images/{split}{i}.png\tlabels/{split}{i}.png\n")
        Path(root, "data", "demo", f"{split}.lst").write_text("".join(lines))


def noise(rng, height, width):
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def site_without(folder, *packages):
    """A folder with links to all installed packages but some."""
    site = Path(np.__file__).parents[1]
    folder.mkdir()
    for entry in site.iterdir():
        if not entry.name.lower().startswith(packages):
            (folder / entry.name).symlink_to(entry)
    return folder


def write_trees(data_root):
    """The datasets' own layout with what samples there are, and lists of one batch at most."""
    rows = [line.split("\t")[:2] for line in (data_root / "ilsvrc_samples" / "index.tsv").read_text().splitlines()]
    for split, count in (("train", 256), ("val", 3)):
        for name, _ in rows:
            target = Path("data/ilsvrc12", split, name.split("_")[0], name)
            target.parent.mkdir(parents=True)
            shutil.copy(data_root / "ilsvrc_samples" / name, target)
        write_list("ilsvrc-cls", split, [f"{i}\t{class_id}\t{split}/{name.split('_')[0]}/{name}" for i, (name, class_id)
                                         in enumerate(rows * 4)][:count])
    for name, target in (("voc12_subset", "VOCdevkit"), ("cityscapes", "cityscapes"), ("ade20k", "ade20k")):
        shutil.copytree(data_root / name, Path("data", target))
    for part in ("leftImg8bit", "gtFine"):  # the samples have no val
        shutil.copytree(Path("data/cityscapes", part, "train"), Path("data/cityscapes", part, "val"))
    for name, root in (("voc", "VOCdevkit"), ("cityscapes", "cityscapes"), ("ade20k", "ade20k")):
        subprocess.run([sys.executable, str(ROOT / "tools" / "prepare.py"), name, "--root", f"data/{root}"], check=True)
        for split, count in (("train", 16), ("val", 1)):
            lines = Path("data", name, f"{split}.lst").read_text().splitlines()
            write_list(name, split, (lines * 16)[:count])


def write_list(dataset, split, lines):
    Path("data", dataset).mkdir(exist_ok=True)
    Path("data", dataset, f"{split}.lst").write_text("".join(f"{line}\n" for line in lines))
