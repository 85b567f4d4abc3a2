"""The commands of docs/own-data.md, as they are written there, on a small drawn set."""
import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.data.images import write_png
from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.symbol import classification_symbol
from ademxapp.weights.parameters import parameter_shapes, save_parameters, start_afresh

pytestmark = pytest.mark.slow  # ten programs, one of which trains

PAGE = (ROOT / "docs" / "own-data.md").read_text()
COMMANDS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RUN = "garden_rna-a1-w0.125_cls3_s8"
START = "imagenette128_rna-a1-w0.125_cls10"


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    """A folder as the page wants it: the project, images and masks, a classifier to start from."""
    folder = tmp_path_factory.mktemp("garden")
    for name in ("ademxapp", "iclass", "issegm", "tools"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        for index in range(count):
            image, label = draw_scene(picture_rng(0, split, index), (90, 120 + 10 * index))
            path = folder / "data" / "garden" / "images" / split / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, quality=95)
            if split != "test":
                mask = np.where(label == IGNORE_LABEL, 0, 1 + label % 3).astype(np.uint8)
                write_png(str(folder / "data" / "garden" / "labels" / split / f"{index}.png"), mask)
    write_start(str(folder / "models" / f"{START}_ep-0050.params"))
    return folder


def write_start(path):
    """A classifier that was not trained. Its units add little, so that values stay small without BN's statistics."""
    parameters = start_afresh(parameter_shapes(classification_symbol(START), data=(1, 3, 64, 64)), 0)
    for name, value in parameters.args.items():
        if "_branch2" in name and name.endswith("_weight"):
            value *= 0.3
    save_parameters(path, parameters)


def run(folder, command):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True,
                          timeout=280, env={**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"})
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def walked(garden):
    """The folder after all commands but those of ONNX."""
    for command in COMMANDS[:-2]:
        run(garden, command)
    return garden


def test_from_images_and_masks_to_a_page_of_results(walked):
    assert len(COMMANDS) == 9 and not any("onnx" in command for command in COMMANDS[:-2])
    lists = {split: len((walked / "data" / "garden" / f"{split}.lst").read_text().splitlines())
             for split in ("train", "val", "test")}
    assert lists == {"train": 8, "val": 2, "test": 2}
    output = walked / "output"
    for name in ("garden-seen/pairs.png", "garden-seen/crops.png", f"{RUN}.png", f"{RUN}_best.params",
                 f"{RUN}_ep-0020.params", f"{RUN}_ep-0020/page/index.html", "garden-new/0.png",
                 "garden-new/1_overlay.jpg"):
        assert (output / name).is_file(), name
    result = json.loads((output / f"{RUN}_ep-0020" / "result.json").read_text())
    assert result["images"] == 2 and len(result["class_iou"]) == 3 and 0 <= result["mean_iou"] <= 100
    assert set(np.unique(Image.open(output / "garden-new" / "0.png"))) <= {1, 2, 3}
    assert all(name in (output / f"{RUN}_ep-0020" / "page" / "index.html").read_text() for name in ("grass", "plant"))


@pytest.mark.skipif(not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
                    reason="onnx or onnxruntime is not installed: pip install 'ademxapp[onnx]'")
def test_its_onnx_file(walked):
    for command in COMMANDS[-2:]:
        run(walked, command)
    for name in ("0.png", "1.png"):
        mine, theirs = (np.asarray(Image.open(walked / "output" / folder / name))
                        for folder in ("garden-onnx", "garden-new"))
        assert (mine != theirs).mean() <= 0.02  # where two classes are as good: the padding is rounded to grey levels
