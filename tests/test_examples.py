"""The examples, run as they are written, on drawn images and random weights."""
import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from random_weights import make_weights, random_weights

from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.weights.describe import describe
from ademxapp.weights.description import write_description
from iclass.datasets import DATASETS as CLASSIFICATION_DATASETS
from issegm.datasets import DATASETS

SEG, CLS = "camvid_rna-a1-w0.125_cls11_s8_fine_ep-0028", "demo-cls_rna-b1-w0.02_cls5_ep-0001"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with weights, photographs, and a tree of classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    random_weights(f"models/{SEG}.params")
    make_weights(f"models/{CLS}.params", CLS)
    for name, record in ((SEG, DATASETS["camvid"]), (CLS, CLASSIFICATION_DATASETS["demo-cls"])):
        path = f"models/{name}.params"
        about = replace(describe(path), test_scale=64, **record.described())
        write_description(path, about.values())
    for number, name in enumerate(("street", "garden", "yard")):
        Image.fromarray(draw_scene(picture_rng(0, "example", number), (60, 80))[0]).save(f"{name}.jpg")
    for number in range(32):
        folder = tmp_path / "pets" / "train" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 100), (90 * (number % 2), 10 * number % 250, 50)).save(folder / f"{number}.png")
    return tmp_path


def run(monkeypatch, name, *arguments, **changes):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    source = (ROOT / "examples" / f"{name}.py").read_text()
    assert len(source.splitlines()) <= 75  # about a screen
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    path = f"{name}_as_changed.py"
    with open(path, "w") as out:
        out.write(source)
    return runpy.run_path(path, run_name="__main__")


def test_predict(world, monkeypatch, capsys):
    run(monkeypatch, "predict", f"models/{SEG}.params", "street.jpg")
    assert capsys.readouterr().out.startswith("street.jpg ")
    assert Image.open("street_overlay.png").size == (80, 60)
    run(monkeypatch, "predict", f"models/{CLS}.params", "street.jpg", "garden.jpg")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("%" in line and line.split(".")[0] in ("street", "garden") for line in lines)


def test_features(world, monkeypatch, capsys):
    run(monkeypatch, "features", f"models/{CLS}.params", "street.jpg", "garden.jpg", "yard.jpg")
    assert np.load("features.npy").shape == (3, 82)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "street.jpg", "garden.jpg", "yard.jpg"]


def test_train(world, monkeypatch, capsys):
    run(monkeypatch, "train", "My_Pets", "pets", "1", **{"w0.125": "w0.02", "RATE = 96, 32": "RATE = 32, 16"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("epoch 1: loss ") and lines[1] == "./my-pets_rna-a1-w0.02_cls2_ep-0001.params"
    known = describe(lines[1])
    assert known.class_names == ("cat", "dog") and known.test_scale == known.crop_size == 32
    run(monkeypatch, "predict", lines[1], "street.jpg")
    assert {"cat", "dog"} & set(capsys.readouterr().out.split())


def test_the_notebook(world):
    notebook = json.loads((ROOT / "examples" / "predict.ipynb").read_text())
    space = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), space)
    assert space["labels"].shape == space["better"].shape == (60, 80)
    assert space["scores"].shape == (11, 60, 80)


@pytest.mark.parametrize("name", ["predict", "features", "train"])
def test_without_arguments_an_example_says_what_it_is(name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    with pytest.raises(SystemExit, match=f"python examples/{name}.py "):
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
