"""The losses that a driver logs in its first epoch, on whatever engine this process has, without dropout."""
import importlib
import json
import shlex
from pathlib import Path
from unittest import mock

import numpy as np
from worlds import noise

from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.images import write_png

IMAGES, SIDE = 32, 64
RUNS = {  # crops are whole images, which are not scaled: OpenCVs differ in their last bits
    "segmentation": ("issegm.voc", "demo_rna-a1-w0.04_cls6_s8", "--crop-size 64 --origin-size 64 --base-lr 1e-3 "
                     "--scale-rate-range 1,1"),
    "classification": ("iclass.ilsvrc", "tiny_rna-a1-w0.04_cls2", "--crop-size 64 --crop-area-range 1,1 "
                       "--base-lr 0.001"),
}


def losses(task, folder):
    """Of every report in the first epoch. All of a run's draws are those of a seed but dropout's, which is off."""
    program, label, more = RUNS[task]
    write_images(Path(folder))
    words = shlex.split(f"--model {label} --batch-images 4 {more} --to-epoch 2 --stop-epoch 1 --cpus 1")
    data = Path(folder, label.split("_")[0])
    words += ["--data-root", str(data), "--output", str(folder)]
    words += ["--list", str(data / "train.lst")] if task == "segmentation" else []
    with mock.patch("ademxapp.symbol.layers.dropout", lambda scope, data, *_, **__: data):
        importlib.import_module(program).main(words)
    return [json.loads(line)["loss"] for line in Path(folder, f"{label}.jsonl").read_text().splitlines()]


def write_images(root):
    """Noise, in two classes that are not alike and with labels in squares."""
    rng, lines = np.random.default_rng(0), []
    for number in range(IMAGES):
        kind = number % 2
        write_png(f"{root}/tiny/train/{('cat', 'dog')[kind]}/{number}.png", noise(rng, SIDE, SIDE) // 2 + 127 * kind)
        write_png(f"{root}/demo/images/{number}.png", noise(rng, SIDE, SIDE))
        label = rng.choice([0, 1, 2, 5, 255], (8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
        write_png(f"{root}/demo/labels/{number}.png", label, voc_palette())
        lines.append(f"images/{number}.png\tlabels/{number}.png\n")
    Path(root, "demo", "train.lst").write_text("".join(lines))
